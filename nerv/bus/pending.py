"""The sender's side of delivery: commands without an outcome, when to send each again, when to give up."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

from nerv.bus.envelope import Envelope, EnvelopeId
from nerv.bus.limits import Limits
from nerv.errors import ErrorCode, ErrorInfo

TAKEN = -1.0
"""Marks a timer that `PendingTable.due` has handed out: a second entry of the same time is void."""

BUSY_IS_RECENT = 0.5
"""A deadline within so many seconds of the last NACK busy is told as busy; later the command was waiting."""


class Pending:
    """One command on its way. Once it is ``done``, at most one of ``answer`` and ``error`` is set.

    Defaults are attributes of the class: there is one of these for each request, and few change more than two.
    """

    acked = False
    accepted = False
    """Acknowledged at least once, by this or an earlier life of the receiver."""
    sent = False
    done = False
    tries = 0
    timed = False
    """Its timer is in the heap; until then ``due`` is its first resend."""
    busy: ErrorInfo | None = None
    """The last NACK that said to try again, and when it came."""
    busy_at = 0.0
    answer: Envelope | None = None
    error: ErrorInfo | None = None
    waiter: Any = None
    """For the shell: whatever it wants to find again when the outcome is there."""

    def __init__(self, envelope: Envelope, deadline: float) -> None:
        self.envelope = envelope
        self.deadline = deadline
        self.due = deadline


class PendingTable:
    """All commands of one peer that have no outcome yet, and their timers.

    Nearly every command is answered long before its first resend, so the first timer costs nothing: it is the order
    of the table itself, looked through every now and then from its oldest end. Only the exceptions pay for a heap.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._by_id: dict[EnvelopeId, Pending] = {}
        self._timers: list[tuple[float, int, Pending]] = []
        self._order = 0
        self._look = 0.0
        self._look_pause = limits.resend / 2

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Pending]:
        return iter(self._by_id.values())

    def get(self, command: str) -> Pending | None:
        return self._by_id.get(command)  # type: ignore[call-overload, no-any-return]  # any text may be asked for

    def add(self, pending: Pending, now: float) -> None:
        if not self._by_id:
            self._look = now + self.limits.resend
        self._by_id[pending.envelope.id] = pending
        due = now + self.limits.resend
        if due < pending.deadline:
            pending.due = due
        else:
            self._wait(pending, pending.deadline)

    def _wait(self, pending: Pending, due: float) -> None:
        pending.timed = True
        pending.due = min(due, pending.deadline)
        self._order += 1
        heapq.heappush(self._timers, (pending.due, self._order, pending))

    def sent(self, pending: Pending, now: float) -> None:
        """It went out (again): wait longer from time to time for a sign of it."""
        limits = self.limits
        pending.sent = True
        if pending.acked:
            pause = min(limits.probe_max, limits.probe * 2.0 ** min(pending.tries, 8))
        else:
            pause = min(limits.resend_max, limits.resend * 2.0 ** min(pending.tries, 8))
        pending.tries += 1
        self._wait(pending, now + pause)

    def postpone(self, pending: Pending, due: float) -> None:
        """Do nothing before ``due``."""
        self._wait(pending, due)

    def refused(self, pending: Pending, info: ErrorInfo, now: float, pause: float) -> None:
        """NACK: no room now; again after ``pause`` seconds."""
        pending.busy = info
        pending.busy_at = now
        self._wait(pending, now + pause)

    def acked(self, pending: Pending, now: float) -> None:
        if not pending.acked:
            pending.acked = pending.accepted = True
            pending.tries = 0
            pending.busy = None
            self._wait(pending, now + self.limits.probe)

    def resolve(
        self, pending: Pending, *, answer: Envelope | None = None, error: ErrorInfo | None = None
    ) -> None:
        self._by_id.pop(pending.envelope.id, None)
        pending.done = True
        pending.answer = answer
        pending.error = error

    def due(self, now: float) -> list[Pending]:
        """Those whose timer is over, each once; the caller resolves, sends or postpones every one of them."""
        ready: list[Pending] = []
        if now >= self._look:
            self._look = now + self._look_pause
            for pending in self._by_id.values():
                if not pending.timed:
                    if pending.due > now:
                        break
                    pending.timed = True
                    ready.append(pending)
        timers = self._timers
        while timers and timers[0][0] <= now:
            due, _, pending = heapq.heappop(timers)
            if not pending.done and pending.due == due:
                pending.due = TAKEN
                ready.append(pending)
        return ready

    def next_due(self) -> float | None:
        """When `due` may have something to say, at the earliest."""
        timers = self._timers
        while timers and timers[0][2].done:
            heapq.heappop(timers)
        if not self._by_id:
            return None
        return min(self._look, timers[0][0]) if timers else self._look


def deadline_error(pending: Pending, now: float, *, connected: bool) -> ErrorInfo:
    """Why the deadline passed, as well as the sender can know it."""
    target = pending.envelope.target
    if pending.busy is not None and not pending.accepted and now - pending.busy_at < BUSY_IS_RECENT:
        return pending.busy
    if not connected and not pending.sent:
        return ErrorInfo(
            code=ErrorCode.DISCONNECTED,
            reason=f"no connection to the broker before the deadline of {pending.envelope.type!r}",
            fix="is the cluster running? `nerv status` shows it",
        )
    accepted = f"{target!r} accepted it" if pending.accepted else f"{target!r} did not acknowledge it"
    return ErrorInfo(
        code=ErrorCode.DEADLINE,
        reason=f"{pending.envelope.type!r} had no outcome before its deadline; {accepted}",
        fix="it may still be handled; ask for its state before sending it anew, or allow more time",
    )
