"""The reply as it goes out: one line of deltas from two sources, wire and page, that always adds up."""

from __future__ import annotations

import asyncio
from typing import Protocol

from kernel.tasks import Stage


class Progress(Protocol):
    """Who is told how far an attempt has come. Both calls return when it is safe to go on."""

    async def stage(self, stage: Stage, conversation: str | None = None) -> None:
        """The prompt reached this stage; returns when that is durable."""
        ...

    async def delta(self, text: str, offset: int, rewrite: bool) -> None:
        """Text at ``offset`` (characters) of the reply; ``rewrite``: it replaces everything from there on."""
        ...


class ReplyStream:
    """Collects what sources say and hands over deltas, one at a time.

    It holds the reply and no queue: while a delta is being taken, changes gather into the next one.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._sent = 0
        self._text = ""
        self._dirty = 0
        """Everything before this character has been sent and has not changed since."""
        self._wake = asyncio.Event()

    @property
    def text(self) -> str:
        return self._text

    def append(self, offset: int, text: str, rewrite: bool) -> None:
        """A delta of a source. One that does not fit what is there is taken as a rewrite from its offset."""
        offset = min(offset, len(self._text))
        if not rewrite and offset == len(self._text):
            self._text += text
        else:
            self._text = self._text[:offset] + text
            self._dirty = min(self._dirty, offset)
        self._wake.set()

    def become(self, text: str) -> None:
        """The reply is now this; only what differs is sent."""
        same = common_prefix(self._text, text)
        if same == len(self._text) == len(text):
            return
        self._text = text
        self._dirty = min(self._dirty, same)
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._wake.wait()
            await self.flush()

    async def flush(self) -> None:
        """Send what is not sent yet."""
        while True:
            self._wake.clear()
            start = min(self._dirty, self._sent)
            text = self._text
            if start == len(text) == self._sent:
                return
            rewrite = start < self._sent
            self._sent = len(text)
            self._dirty = len(text)
            await self._progress.delta(text[start:], start, rewrite)


def common_prefix(a: str, b: str) -> int:
    """How many characters two texts have in common at their beginning."""
    limit = min(len(a), len(b))
    if a[:limit] == b[:limit]:
        return limit
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
