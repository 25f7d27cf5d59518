"""Logs of a process: JSON lines in a rotated file, with correlation ids; warnings and errors also for monitors."""

from __future__ import annotations

import logging
import logging.handlers
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import structlog

from nerv.bus.handlers import CURRENT

MAX_LOG_BYTES = 10 * 1024 * 1024
KEPT_FILES = 5
LINES_PER_SECOND = 20
"""Log lines that one actor publishes per second; the rest are only in its file, and counted."""

Announce = Callable[[float, str, str, str, str], None]
"""Called with (at, level, event, detail, correlation) for each warning and error."""

_RESERVED = {"event", "level", "at", "actor", "incarnation", "logger", "correlation", "exception"}


def _context(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event["at"] = time.time()
    envelope = CURRENT.get()
    if envelope is not None:
        event.setdefault("correlation", envelope.correlation)
        event.setdefault("message_id", envelope.id)
    return event


def _json(_: Any, __: str, event: structlog.typing.EventDict) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


class ActorLog:
    """The log of one process: `<logs>/<actor>.jsonl`. structlog and the standard library both end there."""

    def __init__(self, folder: Path, actor: str, incarnation: str) -> None:
        self._actor = actor
        self._announce: Announce | None = None
        self._second = 0
        self._said = 0
        self.unannounced = 0
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = folder / f"{actor}.jsonl"
        self._handler = logging.handlers.RotatingFileHandler(
            self.path, maxBytes=MAX_LOG_BYTES, backupCount=KEPT_FILES, encoding="utf-8"
        )
        shared: list[structlog.typing.Processor] = [
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            _context,
            self._sign(actor, incarnation),
        ]
        self._handler.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=shared,
                processors=[
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.format_exc_info,
                    self._tell,
                    _json,
                ],
            )
        )
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.stdlib.PositionalArgumentsFormatter(),
                *shared,
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=False,
        )
        root = logging.getLogger()
        self._before = (root.level, list(root.handlers))
        root.handlers = [self._handler]
        root.setLevel(logging.INFO)
        logging.captureWarnings(True)

    @classmethod
    def open(cls, folder: Path, actor: str, incarnation: str) -> ActorLog:
        return cls(folder, actor, incarnation)

    @staticmethod
    def _sign(actor: str, incarnation: str) -> structlog.typing.Processor:
        def sign(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
            event["actor"] = actor
            event["incarnation"] = incarnation
            return event

        return sign

    def announce(self, announce: Announce | None) -> None:
        """Call this for each warning and error from now on, at most ``LINES_PER_SECOND`` times a second."""
        self._announce = announce

    def _tell(self, _: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if self._announce is None or event.get("level") not in ("warning", "error", "critical"):
            return event
        second = int(event["at"])
        if second != self._second:
            self._second, self._said = second, 0
        self._said += 1
        if self._said > LINES_PER_SECOND:
            self.unannounced += 1
            return event
        extra = {key: value for key, value in event.items() if key not in _RESERVED}
        detail = str(event.get("exception") or "") or (
            msgspec.json.encode(extra, enc_hook=str).decode() if extra else ""
        )
        self._announce(
            event["at"],
            str(event["level"]),
            str(event["event"]),
            detail[-4000:],
            str(event.get("correlation", "")),
        )
        return event

    def close(self) -> None:
        self._announce = None
        root = logging.getLogger()
        root.handlers = self._before[1]
        root.setLevel(self._before[0])
        logging.captureWarnings(False)
        structlog.reset_defaults()
        self._handler.close()

    def __enter__(self) -> ActorLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
