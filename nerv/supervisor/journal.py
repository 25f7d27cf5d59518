"""The supervisor's own log: JSON lines in a file, short lines for a person. Writing to it never blocks."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

CAPACITY = 2_000
"""Lines waiting for a slow disk or terminal. Beyond it lines are dropped, counted, and the count is written."""
MAX_FILE_BYTES = 5_000_000


class _Writer:
    """One thread, one sink, one bounded queue: a stuck terminal does not stop the file."""

    def __init__(self, name: str, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._waiting: queue.Queue[bytes | None] = queue.Queue(CAPACITY)
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def close(self, seconds: float) -> None:
        try:
            self._waiting.put(None, timeout=seconds)
        except queue.Full:
            return  # the sink is stuck; its thread is a daemon
        self._thread.join(seconds)

    def _run(self) -> None:
        while (line := self._waiting.get()) is not None:
            dropped, self._dropped = self._dropped, 0
            if dropped:
                line += b'{"level":"warning","event":"log lines dropped","count":%d}\n' % dropped
            try:
                self._write(line)
            except OSError:
                self._dropped += 1 + dropped  # disk full, terminal gone: said when it can be written again


class _RotatingFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, line: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(line)
            size = file.tell()
        if size > MAX_FILE_BYTES:
            self._path.replace(self._path.with_name(self._path.name + ".1"))


def _to_descriptor(descriptor: int) -> Callable[[bytes], None]:
    def write(line: bytes) -> None:
        while line:
            line = line[os.write(descriptor, line) :]

    return write


class Journal:
    """``path``: the JSON Lines file. ``terminal``: descriptor for the short lines, None for none.

    ``announce`` (set by the supervisor) is called with (at, level, actor, event, detail) of warnings and errors.
    """

    announce: Callable[[float, str, str, str, str], None] | None = None

    def __init__(self, path: Path, *, terminal: int | None, quiet: bool = False) -> None:
        self._file = _Writer("journal", _RotatingFile(path).write)
        self._terminal = None if terminal is None else _Writer("terminal", _to_descriptor(terminal))
        self._quiet = quiet

    def write(self, level: str, event: str, *, actor: str = "supervisor", detail: str = "") -> None:
        """Note an event; ``level`` is debug, info, warning or error. Debug lines are not for the terminal."""
        at = time.time()
        line: dict[str, str | float] = {"event": event, "level": level, "at": at, "actor": actor}
        if detail:
            line["detail"] = detail
        self._file.put(msgspec.json.encode(line) + b"\n")
        if self.announce is not None and level in ("warning", "error"):
            self.announce(at, level, actor, event, detail)
        if self._terminal is not None and level != "debug" and not (self._quiet and level == "info"):
            mark = {"warning": "! ", "error": "‼ "}.get(level, "  ")
            tail = f": {detail}" if detail else ""
            self._terminal.put(f"{mark}{actor:<12} {event}{tail}\n".encode())

    def close(self, seconds: float = 1.0) -> None:
        """Write what waits, for at most ``seconds`` per sink."""
        self._file.close(seconds)
        if self._terminal is not None:
            self._terminal.close(seconds)
