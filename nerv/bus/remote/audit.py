"""A record of what was refused: one JSON line each in `<logs>/audit.jsonl`, and a warning in the broker's log.

The file is rotated, and a flood is cut off at a number of lines per second; the next line says how many were left
out. No record holds a payload or a key.
"""

from __future__ import annotations

import logging
import logging.handlers
from pathlib import Path

import msgspec

from nerv.errors import ErrorInfo
from nerv.logs import BoundLog

MAX_BYTES = 10 * 1024 * 1024
KEPT_FILES = 3
LINES_PER_SECOND = 100


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``what``: command, subscribe, publish, name, connect, revoked. ``subject``: the type, topic or name meant."""

    at: float
    what: str
    key: str
    code: str
    reason: str
    subject: str = ""
    role: str = ""
    peer: str = ""
    target: str = ""
    id: str = ""
    correlation: str = ""
    left_out: int = 0


class Audit:
    """Open from construction to `close`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = logging.handlers.RotatingFileHandler(
            path, maxBytes=MAX_BYTES, backupCount=KEPT_FILES, encoding="utf-8"
        )
        self._log = BoundLog("nerv.bus.audit")
        self._second = 0
        self._said = 0
        self._left_out = 0

    def refused(
        self,
        now: float,
        what: str,
        error: ErrorInfo,
        *,
        key: str,
        role: str = "",
        subject: str = "",
        peer: str = "",
        target: str = "",
        id: str = "",  # noqa: A002 - the name of the field on the wire
        correlation: str = "",
    ) -> None:
        """``now``: seconds since the epoch."""
        if int(now) != self._second:
            self._second, self._said = int(now), 0
        self._said += 1
        if self._said > LINES_PER_SECOND:
            self._left_out += 1
            return
        record = AuditRecord(
            at=now,
            what=what,
            key=key,
            code=error.code,
            reason=error.reason,
            subject=subject,
            role=role,
            peer=peer,
            target=target,
            id=id,
            correlation=correlation,
            left_out=self._left_out,
        )
        self._left_out = 0
        line = msgspec.json.encode(record).decode()
        self._file.emit(logging.LogRecord("audit", logging.WARNING, "", 0, "%s", (line,), None))
        self._log.warning(
            f"refused: {what}",
            key=key,
            subject=subject,
            peer=peer,
            reason=error.reason,
            correlation=correlation,
        )

    def close(self) -> None:
        self._file.close()
