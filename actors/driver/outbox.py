"""Carries the deltas of one attempt to the store: in order, coalesced while a batch is under way, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kernel.messages import Delta

MAX_WAITING_CHARS = 2_000_000
"""Characters that may wait for a slow store; beyond it the page flow waits, nothing is dropped."""
MAX_BATCH = 256

SendDeltas = Callable[[tuple[Delta, ...]], Awaitable[None]]


class DeltaOutbox:
    """Numbers deltas and sends them one batch at a time, so that none overtakes another.

    The text that all deltas so far add up to is kept in ``text``: the reply as its readers see it.
    """

    def __init__(self, send: SendDeltas) -> None:
        self._send = send
        self._waiting: list[Delta] = []
        self._waiting_chars = 0
        self._next_seq = 1
        self._pieces: list[str] = []
        self._length = 0
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()

    @property
    def text(self) -> str:
        whole = "".join(self._pieces)
        self._pieces = [whole]
        return whole

    async def put(self, text: str, offset: int, rewrite: bool) -> None:
        """Take one delta; waits only while more than ``MAX_WAITING_CHARS`` are waiting."""
        if offset != self._length:
            if offset > self._length:
                raise ValueError(
                    f"a delta at {offset} leaves a gap: only {self._length} characters are known"
                )
            kept = self.text[:offset]
            self._pieces = [kept]
            self._length = offset
            rewrite = True
        self._pieces.append(text)
        self._length += len(text)
        delta = Delta(seq=self._next_seq, offset=offset, text=text, rewrite=rewrite)
        self._next_seq += 1
        self._waiting.append(delta)
        self._waiting_chars += len(text)
        self._drained.clear()
        self._wake.set()
        if self._waiting_chars > MAX_WAITING_CHARS:
            await self._drained.wait()

    async def finish_as(self, text: str) -> None:
        """Make the deltas add up to ``text``: append what lacks, or rewrite from the first difference."""
        shown = self.text
        if shown == text:
            return
        same = 0
        for shown_char, final_char in zip(shown, text, strict=False):
            if shown_char != final_char:
                break
            same += 1
        await self.put(text[same:], same, rewrite=same < len(shown))

    async def run(self) -> None:
        """Send until cancelled; an error of the store ends it and so the attempt."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = tuple(self._waiting[:MAX_BATCH])
                await self._send(batch)
                del self._waiting[: len(batch)]
                self._waiting_chars -= sum(len(delta.text) for delta in batch)
            self._drained.set()

    async def drain(self) -> None:
        """Wait until the store has all that was put."""
        await self._drained.wait()
