"""The supervisor supervises, and does nothing else."""

from __future__ import annotations

import subprocess
import sys

STRANGERS = (
    "playwright",
    "apsw",
    "sqlite3",
    "psycopg",
    "textual",
    "litestar",
    "kernel",
    "infra",
    "drivers",
    "actors",
)


def test_the_process_of_the_supervisor_loads_no_browser_no_database_and_nothing_of_tasks() -> None:
    code = f"import sys, nerv.supervisor.main; print([one for one in {STRANGERS!r} if one in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_the_watchdog_needs_nothing_but_the_standard_library() -> None:
    code = "import nerv.supervisor.watchdog as module; print(module.__file__)"
    path = subprocess.check_output([sys.executable, "-c", code], text=True).strip()
    done = subprocess.run(
        [sys.executable, "-I", "-S", path, sys.executable, "-c", "raise SystemExit(7)"],
        check=False,
        timeout=20,
    )
    assert done.returncode == 7
