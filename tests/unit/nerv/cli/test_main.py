"""The root: help without importing the parts, errors to exit codes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nerv.cli.exits import ExitCode, exit_code_of
from nerv.cli.main import COMMANDS, hoist, root
from nerv.errors import (
    ConfigurationError,
    DeadlineExceeded,
    Disconnected,
    ErrorCode,
    ErrorInfo,
    NervError,
    RemoteError,
)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_of_the_table_exists_and_has_help(name: str) -> None:
    command = root.get_command(root.make_context("nerv", ["--help"], resilient_parsing=True), name)
    assert command is not None
    assert command.help


def test_help_imports_none_of_the_heavy_parts() -> None:
    script = (
        "import sys; sys.argv = ['nerv', '--help']\n"
        "from nerv.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'zmq', 'playwright', 'textual', 'apsw', 'uvloop', 'rich', 'litestar', 'kernel'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [
        (Disconnected, ErrorCode.DISCONNECTED, ExitCode.NO_CONNECTION),
        (DeadlineExceeded, ErrorCode.DEADLINE, ExitCode.TIMED_OUT),
        (ConfigurationError, ErrorCode.INVALID, ExitCode.USAGE),
        (RemoteError, ErrorCode.UNKNOWN_PROVIDER, ExitCode.USAGE),
        (RemoteError, ErrorCode.INTERNAL, ExitCode.FAILED),
    ],
)
def test_errors_end_in_their_exit_code(kind: type[NervError], code: ErrorCode, expected: ExitCode) -> None:
    assert exit_code_of(kind(ErrorInfo(code=code, reason="r"))) is expected


@pytest.mark.parametrize(
    ("words", "hoisted"),
    [
        (["status", "--json"], ["--json", "status"]),
        (["task", "ls", "-i", "demo", "--limit", "3"], ["-i", "demo", "task", "ls", "--limit", "3"]),
        (["ask", "p", "--", "--json"], ["ask", "p", "--", "--json"]),
        (["status", "-i"], ["-i", "status"]),
        (["status", "--bus", "b", "--key=k"], ["--bus", "b", "--key=k", "status"]),
    ],
)
def test_global_options_may_follow_the_command(words: list[str], hoisted: list[str]) -> None:
    assert hoist(words) == hoisted
