"""The receiver's window: which commands are in work, and the answers already given, to repeat to duplicates."""

from __future__ import annotations

from nerv.bus.envelope import Envelope, EnvelopeId


class DedupWindow:
    """At least the last ``max_answers`` answers, or the last ``max_bytes`` of them, and at most twice as many.

    They are kept in two generations: once the younger has reached a bound it becomes the older, and what was the
    older is forgotten in one step. Work in hand is never forgotten.

    The bound must outlast a sender's resends: a duplicate is recognised as long as fewer commands than that were
    answered since.
    """

    def __init__(self, *, max_answers: int, max_bytes: int) -> None:
        self._max_answers = max_answers
        self._max_bytes = max_bytes
        self._bytes = 0
        self._younger: dict[str, Envelope] = {}
        self._older: dict[str, Envelope] = {}
        self.running: dict[EnvelopeId, Envelope] = {}
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._younger) + len(self._older)

    def answer_to(self, command: EnvelopeId) -> Envelope | None:
        return self._younger.get(command) or self._older.get(command)

    def begin(self, command: Envelope) -> None:
        self.running[command.id] = command

    def finish(self, answer: Envelope) -> bool:
        """Keep the answer to ``answer.causation``. False if that command is not in work (answered already)."""
        command = answer.causation
        if self.running.pop(command, None) is None:  # type: ignore[call-overload]  # its cause is a command
            return False
        younger = self._younger
        younger[command] = answer
        self._bytes += len(answer.payload)
        if len(younger) >= self._max_answers or self._bytes >= self._max_bytes:
            self.forgotten += len(self._older)
            self._older, self._younger, self._bytes = younger, {}, 0
        return True

    def abandon(self, command: EnvelopeId) -> Envelope | None:
        """Forget a command without an answer: its sender will send it again, to a next life."""
        return self.running.pop(command, None)
