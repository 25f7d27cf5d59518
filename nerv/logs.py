"""Logs of a process: JSON lines in a rotated file, with correlation ids; warnings and errors also for monitors.

On the standard library's `logging`, so that what libraries say ends in the same file. (structlog would cost every
actor a quarter of a second and 10 MB at start for what is here.)
"""

from __future__ import annotations

import logging
import logging.handlers
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from nerv.bus.handlers import CURRENT

MAX_LOG_BYTES = 10 * 1024 * 1024
KEPT_FILES = 5
LINES_PER_SECOND = 20
"""Log lines that one actor publishes per second; the rest are only in its file, and counted."""
MAX_DETAIL = 4000
"""Characters of a published line's detail; of a longer one the end is kept, where a traceback says most."""

Announce = Callable[[float, str, str, str, str], None]
"""Called with (at, level, event, detail, correlation) for each warning and error."""


class BoundLog:
    """A logger that takes fields: ``log.warning("page lost", page=3)``. `bind` adds fields to every line."""

    def __init__(self, name: str, fields: dict[str, object] | None = None) -> None:
        self._logger = logging.getLogger(name)
        self._fields = fields or {}

    def bind(self, **fields: object) -> BoundLog:
        return BoundLog(self._logger.name, {**self._fields, **fields})

    def debug(self, event: str, **fields: object) -> None:
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._write(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: object) -> None:
        """An error with the traceback of the exception in hand."""
        self._write(logging.ERROR, event, fields, exc_info=True)

    def _write(self, level: int, event: str, fields: dict[str, object], *, exc_info: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            # As an argument, not as the format: a "%" in the text is only text.
            self._logger.log(
                level, "%s", event, exc_info=exc_info, extra={"fields": {**self._fields, **fields}}
            )


class JsonLines(logging.Formatter):
    """One JSON object per record: at, level, logger, actor, incarnation, event, correlation, and its fields."""

    def __init__(self, actor: str, incarnation: str) -> None:
        super().__init__()
        self._actor = actor
        self._incarnation = incarnation

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": record.created,
            "level": record.levelname.lower(),
            "actor": self._actor,
            "event": record.getMessage(),
        }
        envelope = CURRENT.get()
        if envelope is not None:
            line["correlation"] = envelope.correlation
            line["cause"] = envelope.id
        line.update(fields_of(record))
        if record.exc_info:
            line["exception"] = exception_text(record)
        line["logger"] = record.name
        line["incarnation"] = self._incarnation
        return msgspec.json.encode(line, enc_hook=str).decode()


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, dict) else {}


def exception_text(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    return "".join(traceback.format_exception(*record.exc_info))


class Announcer(logging.Handler):
    """Hands warnings and errors on, at most ``LINES_PER_SECOND`` in a second."""

    def __init__(self, announce: Announce) -> None:
        super().__init__(logging.WARNING)
        self._announce = announce
        self._second = 0
        self._said = 0
        self.unannounced = 0

    def emit(self, record: logging.LogRecord) -> None:
        second = int(record.created)
        if second != self._second:
            self._second, self._said = second, 0
        self._said += 1
        if self._said > LINES_PER_SECOND:
            self.unannounced += 1
            return
        fields = fields_of(record)
        detail = exception_text(record)
        if not detail and fields:
            detail = msgspec.json.encode(fields, enc_hook=str).decode()
        envelope = CURRENT.get()
        correlation = str(fields.get("correlation", "")) or (
            envelope.correlation if envelope is not None else ""
        )
        self._announce(
            record.created, record.levelname.lower(), record.getMessage(), detail[-MAX_DETAIL:], correlation
        )


class ActorLog:
    """The log of one process, `<logs>/<actor>.jsonl`, from entering to leaving it."""

    def __init__(self, folder: Path, actor: str, incarnation: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = folder / f"{actor}.jsonl"
        self._file = logging.handlers.RotatingFileHandler(
            self.path, maxBytes=MAX_LOG_BYTES, backupCount=KEPT_FILES, encoding="utf-8"
        )
        self._file.setFormatter(JsonLines(actor, incarnation))
        self._announcer: Announcer | None = None
        self._level_before = logging.WARNING

    def announce(self, announce: Announce | None) -> None:
        """Call this for each warning and error from now on; None: stop."""
        root = logging.getLogger()
        if self._announcer is not None:
            root.removeHandler(self._announcer)
            self._announcer = None
        if announce is not None:
            self._announcer = Announcer(announce)
            root.addHandler(self._announcer)

    def __enter__(self) -> ActorLog:
        root = logging.getLogger()
        self._level_before = root.level
        root.addHandler(self._file)
        root.setLevel(logging.INFO)
        logging.captureWarnings(True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.announce(None)
        root = logging.getLogger()
        root.removeHandler(self._file)
        root.setLevel(self._level_before)
        logging.captureWarnings(False)
        self._file.close()
