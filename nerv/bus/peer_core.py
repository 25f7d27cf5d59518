"""A peer of the bus as a state machine: frames and the time in, frames, deliveries and outcomes out. No I/O.

The shell around it calls `receive` for each message, `tick` when `next_due` says so, and then takes what came of
it: `take_deliveries` (commands to handle), `take_outcomes` (requests that are resolved), `outgoing` (frames to
send). ``now`` is monotonic seconds everywhere; ``epoch`` is what to add to get seconds since the epoch.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec

from nerv.bus import bundle as bundles
from nerv.bus.credit import Grant
from nerv.bus.envelope import BROKER, Envelope, EnvelopeId, IdSource, Incarnation, Kind, PeerName
from nerv.bus.limits import DEFAULT_LIMITS, Limits
from nerv.bus.link import GREET, WITHDRAWN, Acks, Bye, Credit, Hello, LinkTick, Renewed, Welcome
from nerv.bus.pending import Pending, PendingTable, deadline_error
from nerv.bus.trace import TraceSource
from nerv.bus.window import DedupWindow
from nerv.errors import ErrorCode, ErrorInfo

HELLO_PAUSE = 0.25
"""Seconds between HELLOs until WELCOME arrives."""
MIN_RETRY = 0.01
"""Seconds at least until a command is sent again after a NACK."""

_encode = msgspec.msgpack.Encoder().encode
_decode_acks = msgspec.msgpack.Decoder(Acks).decode
_decode_error = msgspec.msgpack.Decoder(ErrorInfo).decode
_decode_welcome = msgspec.msgpack.Decoder(Welcome).decode
_decode_renewed = msgspec.msgpack.Decoder(Renewed).decode
_decode_tick = msgspec.msgpack.Decoder(LinkTick).decode

# Reading a member off an enumeration costs 0.1 µs, and a request meets a dozen of them.
_COMMAND, _REPLY, _ERROR, _ACK, _NACK = Kind.COMMAND, Kind.REPLY, Kind.ERROR, Kind.ACK, Kind.NACK

Message = tuple[bytes, bytes]
"""``[target][bundle]``."""


class LinkState(StrEnum):
    DOWN = "down"
    GREETING = "greeting"
    UP = "up"
    FENCED = "fenced"
    CLOSED = "closed"


_UP = LinkState.UP


class PeerCounts(NamedTuple):
    """Totals of one life; ``pending``, ``in_hand`` and ``remembered`` are as of now."""

    requests: int
    resends: int
    handled: int
    duplicates: int
    expired: int
    refused: int
    late: int
    malformed: int
    welcomes: int
    pending: int
    in_hand: int
    remembered: int


class PeerCore:
    """One life of one name on the bus."""

    def __init__(
        self,
        *,
        name: str,
        incarnation: Incarnation,
        started_at: float,
        kind: str = "client",
        software: str = "",
        window: int = 256,
        limits: Limits = DEFAULT_LIMITS,
        epoch: float = 0.0,
    ) -> None:
        self.name = PeerName(name)
        self.incarnation = incarnation
        self.limits = limits
        self.epoch = epoch
        self.state = LinkState.DOWN
        self.fenced: ErrorInfo | None = None
        self.broker = ""
        self.slow_types: set[str] = set()
        """Types whose ACK is their REPLY: accepted means done (registered with ``ack="on_reply"``)."""
        self._hello = Hello(
            name=name,
            incarnation=incarnation,
            started_at=started_at,
            credit=window,
            kind=kind,
            software=software,
        )
        self._ids = IdSource(incarnation)
        self._traces = TraceSource(incarnation)
        self._grant = Grant(window)
        self._window = DedupWindow(max_answers=limits.dedup_answers, max_bytes=limits.dedup_bytes)
        self._pending = PendingTable(limits)
        self._commands: dict[PeerName, list[Envelope]] = {}
        self._answers: dict[PeerName, list[Envelope]] = {}
        self._acked: set[EnvelopeId] = set()
        self._acks_due: float | None = None
        self._deliveries: list[Envelope] = []
        self._outcomes: list[Pending] = []
        self._draining = False
        self._hello_due = 0.0
        self._tick_due = 0.0
        self._heard = 0.0
        self._welcomes = self._requests = self._resends = self._handled = self._duplicates = 0
        self._expired = self._refused = self._late = self._malformed = 0

    # -- the link ---------------------------------------------------------------------------------------------

    def link_up(self, now: float) -> None:
        """The socket is connected (again): greet."""
        if self.state not in (LinkState.FENCED, LinkState.CLOSED):
            self._greet(now)

    def link_down(self, now: float) -> None:
        """The socket lost its connection. Requests wait; answers are kept to be asked for again."""
        if self.state not in (LinkState.FENCED, LinkState.CLOSED):
            self.state = LinkState.DOWN
            self._hello_due = now + HELLO_PAUSE
            self._clear_outgoing()

    def _clear_outgoing(self) -> None:
        self._commands.clear()
        self._answers.clear()
        self._acked.clear()
        self._acks_due = None

    def _greet(self, now: float) -> None:
        self.state = LinkState.GREETING
        self._hello_due = now + HELLO_PAUSE
        self._clear_outgoing()
        credit = 0 if self._draining else self._grant.restart()
        self._hello = msgspec.structs.replace(self._hello, credit=credit)
        self._link(Kind.HELLO, "link.hello", self._hello, now)

    def bye(self, now: float, reason: str = "") -> None:
        """Leave. Nothing is sent after this."""
        if self.state is _UP:
            self._link(Kind.BYE, "link.bye", Bye(reason=reason), now)
        if self.state is not LinkState.FENCED:
            self.state = LinkState.CLOSED

    def drain(self, now: float) -> None:
        """Withdraw credit: take no further commands (they wait for a next life), finish those in hand."""
        self._draining = True
        if self.state is _UP:
            self._link(Kind.CREDIT, "link.credit", Credit(limit=WITHDRAWN), now)

    def set_window(self, window: int) -> None:
        """A new window of commands in hand. A smaller one takes effect as credit runs out."""
        self._grant.window = window

    def _link(self, kind: Kind, type_name: str, payload: msgspec.Struct, now: float) -> None:
        self._answers.setdefault(BROKER, []).append(
            self._envelope(kind, type_name, BROKER, _encode(payload), now)
        )

    def _envelope(
        self,
        kind: Kind,
        type_name: str,
        target: PeerName,
        payload: bytes,
        now: float,
        *,
        causation: str = "",
        correlation: str = "",
        attempt: int = 1,
        trace: str = "",
    ) -> Envelope:
        return Envelope(
            id=self._ids.next(),
            kind=kind,
            type=type_name,
            source=self.name,
            target=target,
            correlation=correlation,
            causation=causation,
            trace=trace,
            sent_at=now + self.epoch,
            attempt=attempt,
            payload=msgspec.Raw(payload),
        )

    # -- requests ---------------------------------------------------------------------------------------------

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
        command = self._ids.next()
        correlation = correlation or command
        to: PeerName = target  # type: ignore[assignment]  # a PeerName is a str
        envelope = Envelope(
            id=command,
            kind=_COMMAND,
            type=type_name,
            source=self.name,
            target=to,
            correlation=correlation,
            causation=causation,
            trace=self._traces.follow(trace, command, correlation)
            if trace
            else self._traces.begin(command, correlation),
            sent_at=now + self.epoch,
            deadline=now + self.epoch + timeout,
            attempt=attempt,
            payload=payload,
        )
        pending = Pending(envelope, now + timeout)
        self._requests += 1
        refusal = None
        if (
            self.state is not _UP
            or len(payload) > self.limits.message_bytes
            or len(self._pending) >= self.limits.pending
        ):
            refusal = self._refusal(envelope)
        if refusal is not None:
            self._pending.resolve(pending, error=refusal)
            self._outcomes.append(pending)
            return pending
        self._pending.add(pending, now)
        if self.state is _UP:
            pending.sent = True
            queue = self._commands.get(envelope.target)
            if queue is None:
                self._commands[envelope.target] = [envelope]
            else:
                queue.append(envelope)
        return pending

    def _refusal(self, envelope: Envelope) -> ErrorInfo | None:
        if self.fenced is not None:
            return self.fenced
        if self.state is LinkState.CLOSED:
            return ErrorInfo(code=ErrorCode.DISCONNECTED, reason="this peer has left the bus")
        if len(envelope.payload) > self.limits.message_bytes:
            return too_large(envelope, self.limits.message_bytes)
        if len(self._pending) >= self.limits.pending:
            return ErrorInfo(
                code=ErrorCode.BUSY,
                reason=f"{self.limits.pending} requests of this peer have no outcome yet",
                retry_after=self.limits.busy_retry,
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
        self._resends += 1 if pending.sent else 0
        self._commands.setdefault(pending.envelope.target, []).append(pending.envelope)
        self._pending.sent(pending, now)

    def _send_all(self, now: float, target: PeerName | None = None) -> None:
        """After WELCOME, or a new life of ``target``: whoever forgot our commands shall have them again."""
        for pending in self._pending:
            if target is None or pending.envelope.target == target:
                pending.acked = False
                pending.tries = 0
                self._resend(pending, now)

    # -- answers ----------------------------------------------------------------------------------------------

    def reply(self, command: Envelope, type_name: str, payload: msgspec.Raw, now: float) -> None:
        """The command is done. An answer that is too large becomes an ERROR."""
        if len(payload) > self.limits.message_bytes:
            answer = self._answer(command, _REPLY, type_name, payload, now)
            self.fail(command, too_large(answer, self.limits.message_bytes), now)
            return
        self._finish(self._answer(command, _REPLY, type_name, payload, now))

    def fail(self, command: Envelope, error: ErrorInfo, now: float) -> None:
        """The command is done: refused or failed."""
        self._finish(self._answer(command, _ERROR, "error", msgspec.Raw(_encode(error)), now))

    def put_back(self, command: Envelope, error: ErrorInfo, now: float) -> None:
        """NACK: not accepted, nothing done; the sender tries again after ``error.retry_after``."""
        if self._window.abandon(command.id) is not None:
            self._grant.returned += 1
        self._acked.discard(command.id)
        self._refused += 1
        self._send_answer(self._answer(command, _NACK, "nack", msgspec.Raw(_encode(error)), now))

    def _answer(
        self, command: Envelope, kind: Kind, type_name: str, payload: msgspec.Raw, now: float
    ) -> Envelope:
        return Envelope(
            id=self._ids.next(),
            kind=kind,
            type=type_name,
            source=self.name,
            target=command.source,
            correlation=command.correlation,
            causation=command.id,
            trace=command.trace,
            sent_at=now + self.epoch,
            attempt=command.attempt,
            payload=payload,
        )

    def _finish(self, answer: Envelope) -> None:
        if self._window.finish(answer):
            self._handled += 1
            self._grant.returned += 1
            if not self._window.running:
                self._acks_due = None
            if self._acked:
                self._acked.discard(answer.causation)
            self._send_answer(answer)

    def _send_answer(self, answer: Envelope) -> None:
        if self.state is _UP:
            queue = self._answers.get(answer.target)
            if queue is None:
                self._answers[answer.target] = [answer]
            else:
                queue.append(answer)

    # -- receiving --------------------------------------------------------------------------------------------

    def receive(self, source: bytes, bundle: bytes, now: float) -> None:
        """One message ``[source][bundle]`` from the broker."""
        self._heard = now
        sender = source.decode("utf-8", "replace")
        try:
            envelopes: list[Envelope] = bundles.decode(bundle)
        except bundles.BadBundle as error:
            envelopes = self._salvage(sender, bundle, str(error), now)
        for envelope in envelopes:
            kind = envelope.kind
            if envelope.source != sender:
                self._malformed += 1
            elif kind is _COMMAND:
                self._on_command(envelope, now)
            elif kind is _REPLY or kind is _ERROR:
                self._on_answer(envelope, now)
            elif kind is _ACK:
                self._on_ack(envelope, now)
            elif kind is _NACK:
                self._on_nack(envelope, now)
            elif not sender:
                self._on_link(envelope, now)

    def _salvage(self, sender: str, bundle: bytes, reason: str, now: float) -> list[Envelope]:
        """Good envelopes of a bad bundle; an ERROR goes back for each bad one (or for the whole)."""
        good: list[Envelope] = []
        bad: list[bundles.BadEnvelope] = []
        try:
            for item in bundles.decode_each(bundle):
                if isinstance(item, Envelope):
                    good.append(item)
                else:
                    bad.append(item)
        except bundles.BadBundle as error:
            bad.append(bundles.BadEnvelope(id=EnvelopeId(""), reason=str(error)))
        self._malformed += len(bad)
        if sender and self.state is _UP:
            for item in bad:
                info = ErrorInfo(
                    code=ErrorCode.BAD_ENVELOPE,
                    reason=item.reason or reason,
                    fix="docs/protocol.md describes the envelope field by field",
                )
                answer = self._envelope(
                    _ERROR, "error", PeerName(sender), _encode(info), now, causation=item.id
                )
                self._answers.setdefault(answer.target, []).append(answer)
        return good

    def _on_command(self, command: Envelope, now: float) -> None:
        grant = self._grant
        grant.received += 1
        window = self._window
        if command.id in window.running:
            grant.returned += 1
            self._duplicates += 1
            self._acked.discard(command.id)
            self._acks_due = now
            return
        answer = window.answer_to(command.id)
        if answer is not None:
            grant.returned += 1
            self._duplicates += 1
            self._send_answer(answer)
            return
        if command.deadline and command.deadline <= now + self.epoch:
            grant.returned += 1
            self._expired += 1
            return
        if self._draining or self.state is not _UP:
            grant.returned += 1
            stopping = ErrorInfo(
                code=ErrorCode.STOPPING,
                reason=f"{self.name!r} is stopping",
                retry_after=self.limits.busy_retry,
            )
            self.put_back(command, stopping, now)
            return
        window.begin(command)
        if self._acks_due is None:
            self._acks_due = now + self.limits.ack_delay
        self._deliveries.append(command)

    def _on_answer(self, answer: Envelope, now: float) -> None:
        pending = self._pending.get(answer.causation)
        if pending is None or answer.attempt != pending.envelope.attempt:
            if answer.source == BROKER and answer.kind is _ERROR and not answer.causation:
                self._on_broker_error(self._error_of(answer))
            self._late += 1
            return
        if answer.source != pending.envelope.target and answer.source != BROKER:
            self._malformed += 1
            return
        if answer.kind is _REPLY:
            self._resolve(pending, answer=answer)
        else:
            self._resolve(pending, error=self._error_of(answer))

    def _on_broker_error(self, info: ErrorInfo) -> None:
        """The broker refuses this peer itself, not one of its commands: there is nothing to wait for."""
        if info.code in (ErrorCode.FENCED, ErrorCode.VERSION, ErrorCode.FORBIDDEN):
            self.fence(info)

    def _error_of(self, answer: Envelope) -> ErrorInfo:
        try:
            return _decode_error(answer.payload)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            self._malformed += 1
            return ErrorInfo(
                code=ErrorCode.BAD_PAYLOAD,
                reason=f"{answer.source!r} sent an {answer.kind.name} that is no error: {error}",
            )

    def _on_ack(self, ack: Envelope, now: float) -> None:
        try:
            ids = _decode_acks(ack.payload).ids
        except (msgspec.DecodeError, msgspec.ValidationError):
            self._malformed += 1
            return
        for command in ids:
            pending = self._pending.get(command)
            if pending is not None and pending.envelope.target == ack.source:
                self._pending.acked(pending, now)

    def _on_nack(self, nack: Envelope, now: float) -> None:
        pending = self._pending.get(nack.causation)
        if pending is None:
            self._late += 1
            return
        info = self._error_of(nack)
        if info.retry_after is not None:
            self._pending.refused(pending, info, now, max(MIN_RETRY, info.retry_after))
        elif pending.accepted:
            # This was a resend that did not get through; what the first one did is still to be learnt.
            self._pending.postpone(pending, now + self.limits.probe)
        else:
            self._resolve(pending, error=info)

    def _on_link(self, envelope: Envelope, now: float) -> None:
        try:
            if envelope.kind is Kind.WELCOME:
                self._on_welcome(_decode_welcome(envelope.payload), now)
            elif envelope.kind is Kind.TICK:
                if self.state is _UP:
                    self._grant.reconcile(_decode_tick(envelope.payload).sent)
            elif envelope.kind is Kind.HELLO and envelope.type == GREET:
                if self.state in (_UP, LinkState.DOWN):
                    self._greet(now)
            elif envelope.kind is Kind.EVENT:
                self._on_renewed(_decode_renewed(envelope.payload), now)
        except (msgspec.DecodeError, msgspec.ValidationError):
            self._malformed += 1

    def _on_welcome(self, welcome: Welcome, now: float) -> None:
        if self.state is not LinkState.GREETING:
            return
        self.state = _UP
        self.broker = welcome.incarnation
        self._welcomes += 1
        self._tick_due = now + self.limits.tick
        self.limits = msgspec.structs.replace(
            self.limits,
            tick=welcome.tick,
            silent_ticks=welcome.silent_ticks,
            message_bytes=welcome.message_bytes,
            bundle_bytes=welcome.bundle_bytes,
            bundle_envelopes=welcome.bundle_envelopes,
        )
        self._send_all(now)

    def _on_renewed(self, renewed: Renewed, now: float) -> None:
        """What the old life of that peer had accepted and not answered goes to its new life."""
        if self.state is _UP:
            self._send_all(now, PeerName(renewed.name))

    # -- time -------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Do what is due: greet, tick, resend, give up."""
        if self.state is _UP:
            if now - self._heard > self.limits.tick * self.limits.silent_ticks:
                self._greet(now)
            elif now >= self._tick_due:
                self._tick_due = now + self.limits.tick
                limit = 0 if self._draining else self._grant.granted
                self._link(Kind.TICK, "link.tick", LinkTick(limit=limit), now)
        elif self.state in (LinkState.GREETING, LinkState.DOWN) and now >= self._hello_due:
            self._greet(now)
        for pending in self._pending.due(now):
            if now >= pending.deadline:
                self._resolve(pending, error=deadline_error(pending, now, connected=self.state is _UP))
            elif self.state is _UP:
                self._resend(pending, now)
            else:
                self._pending.postpone(pending, now + self.limits.resend)

    def next_due(self) -> float | None:
        """The time at which `tick` or `outgoing` has something to do, if nothing else happens."""
        due = self._pending.next_due()
        if self.state in (LinkState.FENCED, LinkState.CLOSED):
            return due
        link_due = self._tick_due if self.state is _UP else self._hello_due
        if due is None or link_due < due:
            due = link_due
        if self._acks_due is not None and self._acks_due < due:
            due = self._acks_due
        return due

    def fence(self, info: ErrorInfo) -> None:
        """A younger life of this name is on the bus: every request fails, nothing more is sent."""
        self.state = LinkState.FENCED
        self.fenced = info
        self._clear_outgoing()
        for pending in list(self._pending):
            self._resolve(pending, error=info)

    def wants_to_send(self) -> bool:
        """Whether `outgoing` has something right now (timers apart)."""
        return bool(self._commands or self._answers) or self._grant.wants_renewal()

    # -- what came of it --------------------------------------------------------------------------------------

    def take_deliveries(self) -> list[Envelope]:
        """Commands to handle; each must be answered once, by `reply`, `fail` or `put_back`."""
        if not self._deliveries:
            return self._deliveries
        taken, self._deliveries = self._deliveries, []
        return taken

    def take_outcomes(self) -> list[Pending]:
        if not self._outcomes:
            return self._outcomes
        taken, self._outcomes = self._outcomes, []
        return taken

    def outgoing(self, now: float) -> list[Message]:
        """Frames to send now, in order per target; they are the caller's from here on."""
        if self.state is _UP:
            if self._acks_due is not None and now >= self._acks_due:
                self._flush_acks(now)
            if not self._draining and self._grant.wants_renewal():
                self._link(Kind.CREDIT, "link.credit", Credit(limit=self._grant.renew()), now)
        messages: list[Message] = []
        if self._answers:
            answers, self._answers = self._answers, {}
            self._pack(answers, messages)
        if self._commands:
            commands, self._commands = self._commands, {}
            self._pack(commands, messages)
        return messages

    def _pack(self, queues: dict[PeerName, list[Envelope]], messages: list[Message]) -> None:
        max_envelopes, max_bytes = self.limits.bundle_envelopes, self.limits.bundle_bytes
        for target, envelopes in queues.items():
            frame = target.encode()
            if len(envelopes) <= max_envelopes:
                bundle = _encode(envelopes)
                if len(bundle) <= max_bytes:
                    messages.append((frame, bundle))
                    continue
            packed = bundles.pack(envelopes, max_envelopes=max_envelopes, max_bytes=max_bytes)
            messages.extend((frame, bundle) for bundle in packed)

    def _flush_acks(self, now: float) -> None:
        """Acknowledge what is still in work. Commands answered within ``ack_delay`` never come here."""
        self._acks_due = None
        by_source: dict[PeerName, list[EnvelopeId]] = {}
        for command in self._window.running.values():
            if command.id not in self._acked and command.type not in self.slow_types:
                self._acked.add(command.id)
                by_source.setdefault(command.source, []).append(command.id)
        for source, ids in by_source.items():
            ack = self._envelope(_ACK, "ack", source, _encode(Acks(ids=tuple(ids))), now)
            self._answers.setdefault(source, []).append(ack)

    def counts(self) -> PeerCounts:
        return PeerCounts(
            requests=self._requests,
            resends=self._resends,
            handled=self._handled,
            duplicates=self._duplicates,
            expired=self._expired,
            refused=self._refused,
            late=self._late,
            malformed=self._malformed,
            welcomes=self._welcomes,
            pending=len(self._pending),
            in_hand=len(self._window.running),
            remembered=len(self._window),
        )


def too_large(envelope: Envelope, limit: int) -> ErrorInfo:
    return ErrorInfo(
        code=ErrorCode.TOO_LARGE,
        reason=f"the payload of {envelope.type!r} has {len(envelope.payload)} bytes, the limit is {limit}",
        field="payload",
        fix="send a reference to the data, or raise limits.message_bytes",
    )
