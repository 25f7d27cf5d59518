"""What can go wrong with a database file, as typed errors that say what to do."""

from __future__ import annotations

from pathlib import Path

import apsw

from nerv.errors import Busy, ConfigurationError, ErrorCode, ErrorInfo, NervError

DISK_FULL_RETRY_SECONDS = 5.0
LOCKED_RETRY_SECONDS = 1.0


class DatabaseFailed(NervError):
    """An operation on the database failed; nothing of it was stored."""


class DiskFull(Busy):
    """The disk has no room. Nothing of the operation was stored; it may be tried again."""


class DatabaseLocked(Busy):
    """Another process holds the database's lock. Nothing of the operation was stored."""


class DatabaseUnusable(ConfigurationError):
    """The file cannot be used at all: no database, damaged, of a newer NERV, or not to be written."""


def translate(error: apsw.Error, path: Path) -> NervError:
    """The typed error for what SQLite said while it ran."""
    reason = f"{path}: {error}"
    fix: str | None = None
    match error:
        case apsw.FullError():
            return DiskFull(
                ErrorInfo(
                    code=ErrorCode.BUSY,
                    reason=f"{path}: the disk is full",
                    fix=f"free some space on the disk of {path.parent}; nothing was lost",
                    retry_after=DISK_FULL_RETRY_SECONDS,
                )
            )
        case apsw.BusyError() | apsw.LockedError():
            return DatabaseLocked(
                ErrorInfo(
                    code=ErrorCode.BUSY,
                    reason=f"{path}: another process holds its lock",
                    fix="end the program that has this database open; only NERV's own actor may write to it",
                    retry_after=LOCKED_RETRY_SECONDS,
                )
            )
        case apsw.CorruptError() | apsw.NotADBError():
            fix = "stop the cluster, keep a copy of the file, and restore a backup"
        case apsw.ReadOnlyError() | apsw.CantOpenError() | apsw.PermissionsError():
            fix = f"see that {path.parent} may be written by this user"
        case apsw.IOError():
            fix = "see the system's log for errors of this disk"
        case _:
            pass
    return DatabaseFailed(ErrorInfo(code=ErrorCode.INTERNAL, reason=reason, fix=fix))


def unusable(path: Path, reason: str, fix: str) -> DatabaseUnusable:
    return DatabaseUnusable(
        ErrorInfo(code=ErrorCode.INVALID, reason=f"{path}: {reason}", field=str(path), fix=fix)
    )
