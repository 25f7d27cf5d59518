"""Errors that cross a process boundary: a code, what happened, which field, and what to do about it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class ErrorCode(StrEnum):
    """Why something was refused or failed. Stable: part of the wire protocol."""

    BAD_ENVELOPE = "bad_envelope"
    UNKNOWN_TYPE = "unknown_type"
    BAD_PAYLOAD = "bad_payload"
    TOO_LARGE = "too_large"
    VERSION = "version"
    UNDELIVERABLE = "undeliverable"
    BUSY = "busy"
    DEADLINE = "deadline"
    FENCED = "fenced"
    FORBIDDEN = "forbidden"
    DISCONNECTED = "disconnected"
    PEER_LOST = "peer_lost"
    NOT_FOUND = "not_found"
    UNKNOWN_PROVIDER = "unknown_provider"
    INVALID = "invalid"
    CONFLICT = "conflict"
    STALE_LEASE = "stale_lease"
    CANCELLED = "cancelled"
    STOPPING = "stopping"
    TROUBLE = "trouble"
    INTERNAL = "internal"


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The payload of every ERROR and NACK.

    ``field`` is a dotted path into the message that was refused; ``fix`` is one sentence for a person;
    ``retry_after`` is in seconds and present only where trying again can help.
    """

    code: ErrorCode
    reason: str
    field: str | None = None
    fix: str | None = None
    retry_after: float | None = None

    def __str__(self) -> str:
        where = f" ({self.field})" if self.field else ""
        what_next = f". {self.fix}" if self.fix else ""
        return f"{self.code}{where}: {self.reason}{what_next}"


class NervError(Exception):
    """Base of every error of NERV that a caller may want to catch; carries an :class:`ErrorInfo`."""

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(str(info))
        self.info = info

    @property
    def code(self) -> ErrorCode:
        return self.info.code


class RemoteError(NervError):
    """The other side answered ERROR: it has handled the command, and refused or failed it."""


class Busy(NervError):
    """The target has no room. ``info.retry_after`` says when to try again."""


class DeadlineExceeded(NervError):
    """No outcome arrived before the deadline. The command may still be handled."""


class Undeliverable(NervError):
    """The broker knows no peer of the target's name, or the peer left before it accepted."""


class Disconnected(NervError):
    """This process has no connection to the broker, and the wait for one ran out."""


class ConfigurationError(NervError):
    """A file, flag or variable is wrong. A supervised child exits with ``EXIT_CONFIGURATION``."""


_CLASSES: dict[ErrorCode, type[NervError]] = {
    ErrorCode.BUSY: Busy,
    ErrorCode.STOPPING: Busy,
    ErrorCode.UNDELIVERABLE: Undeliverable,
    ErrorCode.DEADLINE: DeadlineExceeded,
    ErrorCode.DISCONNECTED: Disconnected,
    ErrorCode.FENCED: Disconnected,
}


def request_error(info: ErrorInfo) -> NervError:
    """The exception for a request that ended with ``info``, by its code."""
    return _CLASSES.get(info.code, RemoteError)(info)


UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that msgspec raises for bytes that are not what they should be: bytes from others are read with this at hand."""


def invalid(reason: str, *, field: str | None = None, fix: str | None = None) -> ErrorInfo:
    return ErrorInfo(code=ErrorCode.INVALID, reason=reason, field=field, fix=fix)


EXIT_CONFIGURATION = 78
"""Exit status of an actor whose configuration is wrong (sysexits.h EX_CONFIG): restarting it cannot help."""
