"""How a detached start goes, told to the waiting `nerv up -d` through a pipe: one JSON object per line."""

from __future__ import annotations

import contextlib
import os

import msgspec

from nerv.errors import ErrorInfo
from nerv.messages import ActorStatus


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line: an actor's new state, the end of the start (``ready``), or why there is none (``error``)."""

    actor: ActorStatus | None = None
    ready: bool = False
    pid: int | None = None
    error: ErrorInfo | None = None


class Progress:
    """The writing end. Never blocks: a reader that does not read misses lines. None: nobody waits."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_blocking(descriptor, False)
            os.set_inheritable(descriptor, False)

    def actor(self, status: ActorStatus) -> None:
        self._write(Report(actor=status))

    def ready(self) -> None:
        self._write(Report(ready=True, pid=os.getpid()))
        self.close()

    def error(self, info: ErrorInfo) -> None:
        self._write(Report(error=info))
        self.close()

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, report: Report) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):  # full, or nobody waits any more
                os.write(self._descriptor, msgspec.json.encode(report) + b"\n")
