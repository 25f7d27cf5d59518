"""Fixtures of every test: the leak gate, and a fresh home for instances."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

from tests.cluster import Cluster
from tests.leaks import SETTLE_SECONDS, Snapshot, left_behind, temporary_folder

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)  # `make unit` looks for new examples
settings.load_profile("ci" if os.environ.get("CI") else "default")

SUITE_SECONDS = 45 * 60
"""A run that takes this long hangs where no test's own deadline reaches: it says where, and ends."""

TEMPORARY = pytest.StashKey[tuple[str, str | None]]()


def pytest_configure(config: pytest.Config) -> None:
    """A temporary folder of its own for each run: what other processes leave in the shared one is not ours."""
    # A worker of xdist inherits the folder of its controller; one inside the other would be too deep for sockets.
    beside = Path(tempfile.gettempdir()).parent if hasattr(config, "workerinput") else None
    folder = tempfile.mkdtemp(prefix="nt-", dir=beside)
    config.stash[TEMPORARY] = (folder, os.environ.get("TMPDIR"))
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    # Started in the background of a shell we would ignore Ctrl-C, and so would every process that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert sys.__stderr__ is not None
    faulthandler.dump_traceback_later(SUITE_SECONDS, exit=True, file=sys.__stderr__)


def pytest_unconfigure(config: pytest.Config) -> None:
    faulthandler.cancel_dump_traceback_later()
    folder, before = config.stash[TEMPORARY]
    tempfile.tempdir = None
    os.environ.pop("TMPDIR")
    if before is not None:
        os.environ["TMPDIR"] = before
    shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A failure is told at once: the end, where all are listed, is not reached by a run that is interrupted."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(
            f"\n{report.nodeid} failed in {report.when}:\n{report.longreprtext}",
            file=sys.__stderr__,
            flush=True,
        )


@pytest.fixture(autouse=True)
def leak_gate() -> Iterator[None]:
    """Fails a test that leaves a process, a thread, a socket file or a temporary folder behind."""
    folder = temporary_folder()
    before = Snapshot.take(folder)
    yield
    found = left_behind(before, folder)
    if found:
        pytest.fail("left behind:\n  " + "\n  ".join(found), pytrace=False)


@pytest.fixture
def nerv_home() -> Iterator[Path]:
    """A home for instances whose path is short enough for sockets (pytest's own are not).

    A cluster that a failing test leaves behind is killed, and named: it is no descendant of this process.
    """
    folder = Path(tempfile.mkdtemp(prefix="nv-"))
    yield folder
    left = Cluster(home=folder).processes()
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=SETTLE_SECONDS)
    shutil.rmtree(folder)
    if left:
        pytest.fail(f"the instance left processes behind: {left}", pytrace=False)
