"""A reply as it grows: deltas in order make the text. The same rules for the store, callers and tests."""

from __future__ import annotations

from collections.abc import Sequence

from kernel.messages import Delta
from nerv.errors import ErrorCode, ErrorInfo


def refusal(delta: Delta, *, next_seq: int, length: int) -> ErrorInfo | None:
    """Why ``delta`` does not follow a reply of ``length`` characters that waits for ``next_seq``; None if it does.

    Only for deltas with ``seq >= next_seq``: a smaller one is known already.
    """
    if delta.seq != next_seq:
        reason = f"seq {delta.seq} came where {next_seq} is next"
        field = "seq"
    elif delta.rewrite and not 0 <= delta.offset <= length:
        reason = f"a rewrite from {delta.offset} is outside the reply, which has {length} characters"
        field = "offset"
    elif not delta.rewrite and delta.offset != length:
        reason = f"offset {delta.offset} was given where the reply has {length} characters"
        field = "offset"
    else:
        return None
    return ErrorInfo(
        code=ErrorCode.CONFLICT,
        reason=reason,
        field=f"deltas.{field}",
        fix=f"read the reply (`reply.read`) and go on from seq {next_seq}, offset {length}",
    )


def length_after(delta: Delta, length: int) -> int:
    """The reply's length in characters once ``delta`` is applied."""
    return (delta.offset if delta.rewrite else length) + len(delta.text)


class ReplyText:
    """One attempt's reply, put together from deltas. Says where a gap is; never guesses over it."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._next_seq = 1

    @property
    def next_seq(self) -> int:
        return self._next_seq

    @property
    def length(self) -> int:
        return self._length

    @property
    def text(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def add(self, deltas: Sequence[Delta]) -> tuple[Delta, ...] | None:
        """The deltas that were new, applied; None if one before the first of them is missing (nothing is done)."""
        fresh = [delta for delta in deltas if delta.seq >= self._next_seq]
        if fresh and fresh[0].seq > self._next_seq:
            return None
        taken: list[Delta] = []
        for delta in fresh:
            if refusal(delta, next_seq=self._next_seq, length=self._length) is not None:
                return tuple(taken) if taken else None
            self._apply(delta)
            taken.append(delta)
        return tuple(taken)

    def _apply(self, delta: Delta) -> None:
        if delta.rewrite:
            kept = self.text[: delta.offset]
            self._pieces = [kept] if kept else []
            self._length = len(kept)
        if delta.text:
            self._pieces.append(delta.text)
        self._length += len(delta.text)
        self._next_seq += 1
