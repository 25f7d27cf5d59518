"""Exit codes of `nerv`, in one table (docs/operations.md repeats it for users)."""

from __future__ import annotations

from enum import IntEnum

from nerv.errors import (
    ConfigurationError,
    DeadlineExceeded,
    Disconnected,
    ErrorCode,
    NervError,
    Undeliverable,
)


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_CONNECTION = 3
    TIMED_OUT = 4
    INTERRUPTED = 130


_USAGE_CODES = frozenset(
    {
        ErrorCode.INVALID,
        ErrorCode.UNKNOWN_PROVIDER,
        ErrorCode.UNKNOWN_TYPE,
        ErrorCode.BAD_PAYLOAD,
        ErrorCode.TOO_LARGE,
        ErrorCode.NOT_FOUND,
    }
)


def exit_code_of(error: NervError) -> ExitCode:
    """The exit code that an error ends the command with."""
    if isinstance(error, Disconnected):
        return ExitCode.NO_CONNECTION
    if isinstance(error, DeadlineExceeded):
        return ExitCode.TIMED_OUT
    if isinstance(error, Undeliverable):
        return ExitCode.NO_CONNECTION
    if isinstance(error, ConfigurationError) or error.code in _USAGE_CODES:
        return ExitCode.USAGE
    return ExitCode.FAILED
