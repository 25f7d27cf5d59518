"""The receiver's window: which commands are in work, and the answers already given, to repeat to duplicates."""

from __future__ import annotations

from collections import deque

from nerv.bus.envelope import Envelope, EnvelopeId


class DedupWindow:
    """Bounded in answers and bytes; the oldest answer is forgotten first. Work in hand is never forgotten.

    The bound must outlast a sender's resends: with the default of 8192 answers a duplicate is recognised as long
    as fewer than that many commands were answered since.
    """

    def __init__(self, *, max_answers: int, max_bytes: int) -> None:
        self._max_answers = max_answers
        self._max_bytes = max_bytes
        self._bytes = 0
        self._answers: dict[EnvelopeId, Envelope] = {}
        # The order of age beside the dict: its first key is found in O(n) once many of its oldest are deleted.
        self._oldest: deque[EnvelopeId] = deque()
        self.running: dict[EnvelopeId, Envelope] = {}
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._answers)

    def answer_to(self, command: EnvelopeId) -> Envelope | None:
        return self._answers.get(command)

    def begin(self, command: Envelope) -> None:
        self.running[command.id] = command

    def finish(self, answer: Envelope) -> bool:
        """Keep the answer to ``answer.causation``. False if that command is not in work (answered already)."""
        command: EnvelopeId = answer.causation  # type: ignore[assignment]  # an answer's cause is its command
        if self.running.pop(command, None) is None:
            return False
        self._answers[command] = answer
        self._oldest.append(command)
        self._bytes += len(answer.payload)
        while len(self._oldest) > self._max_answers or (
            self._bytes > self._max_bytes and len(self._oldest) > 1
        ):
            self._bytes -= len(self._answers.pop(self._oldest.popleft()).payload)
            self.forgotten += 1
        return True

    def abandon(self, command: EnvelopeId) -> Envelope | None:
        """Forget a command without an answer: its sender will send it again, to a next life."""
        return self.running.pop(command, None)
