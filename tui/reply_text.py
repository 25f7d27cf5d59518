"""The text of one reply, folded from deltas and reads: in order, gaps seen, and bounded."""

from __future__ import annotations

from collections.abc import Iterable

from kernel.messages import Delta, ReplyView
from kernel.tasks import ReplySummary, TaskId

MAX_SHOWN_CHARS = 200_000
"""How much of a reply the monitor keeps. Of a longer one it keeps the end, and says what it left out."""


class ReplyText:
    """The reply of ``task`` as far as it is known here.

    ``wants_read`` is True when the store must be asked (at first, after a gap, and when the task has ended);
    ``hidden`` is the count of characters at the beginning that are no longer kept. ``version`` grows with
    every change of the text.
    """

    def __init__(self, task: TaskId) -> None:
        self.task = task
        self.attempt = 0
        self.last_seq = 0
        self.text = ""
        self.hidden = 0
        self.sealed: ReplySummary | None = None
        self.wants_read = True
        self.version = 0

    @property
    def length(self) -> int:
        """Characters of the whole reply, those no longer kept included."""
        return self.hidden + len(self.text)

    def apply_deltas(self, attempt: int, deltas: Iterable[Delta]) -> None:
        """Fold in deltas of an event. A gap leaves the text as it is and sets ``wants_read``."""
        if self.sealed is not None and attempt <= self.sealed.attempt:
            return
        if attempt < self.attempt:
            return
        if attempt > self.attempt:
            self._restart(attempt)
        for delta in deltas:
            if delta.seq <= self.last_seq:
                continue
            fits = delta.offset <= self.length if delta.rewrite else delta.offset == self.length
            if delta.seq != self.last_seq + 1 or not fits:
                self.wants_read = True
                return
            self._put(delta)

    def apply_view(self, view: ReplyView) -> None:
        """Fold in an answer of the store: the truth, up to the moment of its reading."""
        self.wants_read = False
        if view.attempt < self.attempt:
            return
        if view.attempt > self.attempt:
            self._restart(view.attempt)
        if view.sealed is not None and view.text is not None:
            self.sealed = view.sealed
            self.attempt = view.attempt
            self._set(view.text)
            return
        for delta in view.deltas:
            if delta.seq > self.last_seq:
                self._put(delta)
        if view.deltas:
            # The store may answer in pages: ask on until it has nothing new.
            self.wants_read = self.length < view.length

    def _restart(self, attempt: int) -> None:
        self.attempt = attempt
        self.last_seq = 0
        self.hidden = 0
        self.text = ""
        self.sealed = None
        self.version += 1

    def _put(self, delta: Delta) -> None:
        self.last_seq = delta.seq
        at = max(0, delta.offset - self.hidden)
        if delta.offset < self.hidden:
            self.hidden = delta.offset
        self._set(self.text[:at] + delta.text, hidden=self.hidden)

    def _set(self, text: str, *, hidden: int = 0) -> None:
        cut = max(0, len(text) - MAX_SHOWN_CHARS)
        self.hidden = hidden + cut
        self.text = text[cut:] if cut else text
        self.version += 1
