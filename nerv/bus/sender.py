"""The sending half of a peer: each command is kept, and sent again, until it has an outcome. No I/O."""

from __future__ import annotations

import msgspec

from nerv.bus.envelope import BROKER, Envelope, Incarnation, Kind, PeerName
from nerv.bus.limits import Limits, too_large
from nerv.bus.link import Acks
from nerv.bus.outbox import Outbox
from nerv.bus.peer_link import LinkState, PeerLink
from nerv.bus.pending import Pending, PendingTable, deadline_error
from nerv.bus.trace import TraceSource
from nerv.errors import UNDECODABLE, ErrorCode, ErrorInfo

MIN_RETRY = 0.01
"""Seconds at least until a command is sent again after a NACK."""

_COMMAND, _REPLY = Kind.COMMAND, Kind.REPLY  # reading a member off an enumeration costs 0.1 µs
_decode_acks = msgspec.msgpack.Decoder(Acks).decode
_decode_error = msgspec.msgpack.Decoder(ErrorInfo).decode


class Sender:
    """Every request is resolved once: with its answer, with an error, or because nobody waits any more."""

    def __init__(self, link: PeerLink, outbox: Outbox, *, incarnation: Incarnation, limits: Limits) -> None:
        self._link = link
        self._outbox = outbox
        self._traces = TraceSource(incarnation)
        self._pending = PendingTable(limits)
        self._outcomes: list[Pending] = []
        self.requests = self.resends = self.late = self.malformed = 0

    def __len__(self) -> int:
        """Requests without an outcome."""
        return len(self._pending)

    def request(
        self,
        target: str,
        type_name: str,
        payload: msgspec.Raw,
        *,
        now: float,
        timeout: float,
        correlation: str = "",
        causation: str = "",
        trace: str = "",
        attempt: int = 1,
    ) -> Pending:
        """Send a command; its outcome will be among `take_outcomes`, by ``now + timeout`` at the latest.

        ``trace``: the context of what led to it; empty where nothing did, or where it belongs to the trace of another
        correlation.
        """
        link = self._link
        limits = link.limits
        command = link.ids.next()
        correlation = correlation or command
        to: PeerName = target  # type: ignore[assignment]  # a PeerName is a str
        sent_at = now + link.epoch
        envelope = Envelope(
            id=command,
            kind=_COMMAND,
            type=type_name,
            source=link.name,
            target=to,
            correlation=correlation,
            causation=causation,
            trace=self._traces.follow(trace, command, correlation)
            if trace
            else self._traces.begin(command, correlation),
            sent_at=sent_at,
            deadline=sent_at + timeout,
            attempt=attempt,
            payload=payload,
        )
        pending = Pending(envelope, now + timeout)
        table = self._pending
        self.requests += 1
        if link.up and len(payload) <= limits.message_bytes and len(table) < limits.pending:
            table.add(pending, now)
            pending.sent = True
            self._outbox.put_command(envelope)
            return pending
        refusal = self._refusal(envelope)
        if refusal is None:
            table.add(pending, now)  # it waits for the link
        else:
            self._resolve(pending, error=refusal)
        return pending

    def _refusal(self, envelope: Envelope) -> ErrorInfo | None:
        link = self._link
        if link.error is not None:
            return link.error
        if link.state is LinkState.CLOSED:
            return ErrorInfo(code=ErrorCode.DISCONNECTED, reason="this peer has left the bus")
        if len(envelope.payload) > link.limits.message_bytes:
            return too_large(envelope.type, len(envelope.payload), link.limits)
        if len(self._pending) >= link.limits.pending:
            return ErrorInfo(
                code=ErrorCode.BUSY,
                reason=f"{link.limits.pending} requests of this peer have no outcome yet",
                retry_after=link.limits.busy_retry,
            )
        return None

    def abandon(self, pending: Pending) -> None:
        """Nobody waits for this one any more (its caller was cancelled). A late answer is counted, not kept."""
        if not pending.done:
            self._pending.resolve(pending)

    def _resolve(
        self, pending: Pending, *, answer: Envelope | None = None, error: ErrorInfo | None = None
    ) -> None:
        self._pending.resolve(pending, answer=answer, error=error)
        self._outcomes.append(pending)

    def _resend(self, pending: Pending, now: float) -> None:
        self.resends += 1 if pending.sent else 0
        self._outbox.put_command(pending.envelope)
        self._pending.sent(pending, now)

    def send_all(self, now: float, target: PeerName | None = None) -> None:
        """After WELCOME, or a new life of ``target``: whoever forgot our commands shall have them again."""
        limits = self._link.limits
        for pending in list(self._pending):
            size = len(pending.envelope.payload)
            if size > limits.message_bytes:  # it was measured before this broker had told its limits
                self._resolve(pending, error=too_large(pending.envelope.type, size, limits))
            elif target is None or pending.envelope.target == target:
                pending.acked = False
                pending.tries = 0
                self._resend(pending, now)

    def fail_all(self, error: ErrorInfo) -> None:
        for pending in list(self._pending):
            self._resolve(pending, error=error)

    # -- what comes back --------------------------------------------------------------------------------------

    def on_answer(self, answer: Envelope) -> None:
        """REPLY or ERROR."""
        pending = self._pending.get(answer.causation)
        if pending is None or answer.attempt != pending.envelope.attempt:
            self.late += 1
        elif answer.source != pending.envelope.target and answer.source != BROKER:
            self.malformed += 1
        elif answer.kind is _REPLY:
            self._pending.resolve(pending, answer=answer)
            self._outcomes.append(pending)
        else:
            self._resolve(pending, error=self.error_of(answer))

    def on_ack(self, ack: Envelope, now: float) -> None:
        try:
            ids = _decode_acks(ack.payload).ids
        except UNDECODABLE:
            self.malformed += 1
            return
        for command in ids:
            pending = self._pending.get(command)
            if pending is not None and pending.envelope.target == ack.source:
                self._pending.acked(pending, now)

    def on_nack(self, nack: Envelope, now: float) -> None:
        pending = self._pending.get(nack.causation)
        if pending is None or nack.attempt != pending.envelope.attempt:
            self.late += 1
            return
        if nack.source != pending.envelope.target and nack.source != BROKER:
            self.malformed += 1
            return
        info = self.error_of(nack)
        if info.retry_after is not None:
            self._pending.refused(pending, info, now, max(MIN_RETRY, info.retry_after))
        elif pending.accepted:
            # This was a resend that did not get through; what the first one did is still to be learnt.
            self._pending.postpone(pending, now + self._link.limits.probe)
        else:
            self._resolve(pending, error=info)

    def error_of(self, answer: Envelope) -> ErrorInfo:
        try:
            return _decode_error(answer.payload)
        except UNDECODABLE as error:
            self.malformed += 1
            return ErrorInfo(
                code=ErrorCode.BAD_PAYLOAD,
                reason=f"{answer.source!r} sent an {answer.kind.name} that is no error: {error}",
            )

    # -- time -------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Send again, or give up, what is due."""
        up = self._link.up
        for pending in self._pending.due(now):
            if now >= pending.deadline:
                self._resolve(pending, error=deadline_error(pending, now, connected=up))
            elif up:
                self._resend(pending, now)
            else:
                self._pending.postpone(pending, now + self._link.limits.resend)

    def next_due(self) -> float | None:
        return self._pending.next_due()

    def take_outcomes(self) -> list[Pending]:
        """Requests that are resolved, each once."""
        if not self._outcomes:
            return self._outcomes
        taken, self._outcomes = self._outcomes, []
        return taken
