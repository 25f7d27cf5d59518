"""Dead letters: commands that the broker could not deliver, kept for a person to read, send again or drop."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from nerv.bus.envelope import Envelope


class DeathReason(StrEnum):
    UNDELIVERABLE = "undeliverable"
    """Nobody of that name came within the time it was held."""
    EXPIRED = "expired"
    """Its deadline passed while it waited at the broker. Maybe as a resend of one that its target has in work: the
    broker cannot know, so to send it again may do it twice."""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """``number`` counts up in one life of the broker; ``at`` is in seconds since the epoch."""

    number: int
    at: float
    reason: DeathReason
    envelope: Envelope

    def again(self, deadline: float) -> Envelope:
        """The same command, under the same id, with a new deadline (seconds since the epoch)."""
        return msgspec.structs.replace(self.envelope, deadline=deadline)


class DeadLetters:
    """Bounded in count and bytes; the oldest goes first and is counted in ``dropped``."""

    def __init__(self, *, max_letters: int, max_bytes: int) -> None:
        self._max_letters = max_letters
        self._max_bytes = max_bytes
        self._letters: dict[int, DeadLetter] = {}
        self._bytes = 0
        self._number = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._letters)

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(self._letters.values())

    def get(self, number: int) -> DeadLetter | None:
        return self._letters.get(number)

    def add(self, envelope: Envelope, reason: DeathReason, at: float) -> DeadLetter:
        self._number += 1
        kept = msgspec.structs.replace(envelope, payload=envelope.payload.copy())
        letter = DeadLetter(number=self._number, at=at, reason=reason, envelope=kept)
        self._letters[letter.number] = letter
        self._bytes += len(kept.payload)
        while len(self._letters) > self._max_letters or (
            self._bytes > self._max_bytes and len(self._letters) > 1
        ):
            self.take(next(iter(self._letters)))
            self.dropped += 1
        return letter

    def take(self, number: int) -> DeadLetter | None:
        """Remove and return one."""
        letter = self._letters.pop(number, None)
        if letter is not None:
            self._bytes -= len(letter.envelope.payload)
        return letter
