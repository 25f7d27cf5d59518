"""A peer of the bus as a state machine: frames and the time in, frames, deliveries and outcomes out. No I/O.

The shell around it calls `receive` for each message, `tick` when `next_due` says so, and then takes what came of
it: `take_deliveries` (commands to handle), `take_outcomes` (requests that are resolved), `outgoing` (frames to
send). ``now`` is monotonic seconds everywhere; ``epoch`` is what to add to get seconds since the epoch.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from nerv.bus import bundle as bundles
from nerv.bus.envelope import BROKER, Envelope, EnvelopeId, Incarnation, Kind, PeerName
from nerv.bus.limits import DEFAULT_LIMITS, Limits
from nerv.bus.link import GREET, Hello, LinkTick, Renewed, Welcome
from nerv.bus.outbox import Message, Outbox
from nerv.bus.peer_link import LinkState, PeerLink
from nerv.bus.receiver import Receiver
from nerv.bus.sender import Sender
from nerv.errors import UNDECODABLE, ErrorCode, ErrorInfo

__all__ = ("LinkState", "PeerCore", "PeerCounts")

_decode_welcome = msgspec.msgpack.Decoder(Welcome).decode
_decode_renewed = msgspec.msgpack.Decoder(Renewed).decode
_decode_tick = msgspec.msgpack.Decoder(LinkTick).decode

# Reading a member off an enumeration costs 0.1 µs, and a request meets a dozen of them.
_COMMAND, _REPLY, _ERROR, _ACK, _NACK = Kind.COMMAND, Kind.REPLY, Kind.ERROR, Kind.ACK, Kind.NACK


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
    """One life of one name on the bus: a link to the broker, a sending half and a receiving half."""

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
        hello = Hello(
            name=name,
            incarnation=incarnation,
            started_at=started_at,
            credit=window,
            kind=kind,
            software=software,
        )
        self._outbox = Outbox()
        self._link = PeerLink(hello, outbox=self._outbox, limits=limits, epoch=epoch)
        self._sender = Sender(self._link, self._outbox, incarnation=incarnation, limits=limits)
        self._receiver = Receiver(self._link, self._outbox, window=window, limits=limits)
        self._malformed = 0
        # Bound, not wrapped: they are called for each message.
        self.request = self._sender.request
        self.abandon = self._sender.abandon
        self.take_outcomes = self._sender.take_outcomes
        self.reply = self._receiver.reply
        self.fail = self._receiver.fail
        self.put_back = self._receiver.put_back
        self.take_deliveries = self._receiver.take_deliveries
        self._on_command = self._receiver.on_command
        self._on_answer = self._sender.on_answer

    # -- what it is -------------------------------------------------------------------------------------------

    @property
    def name(self) -> PeerName:
        return self._link.name

    @property
    def state(self) -> LinkState:
        return self._link.state

    @property
    def fenced(self) -> ErrorInfo | None:
        """Why this life is over."""
        return self._link.error

    @property
    def broker(self) -> str:
        """The incarnation of the broker that welcomed it last; empty before the first time."""
        return self._link.broker

    @property
    def limits(self) -> Limits:
        return self._link.limits

    @property
    def epoch(self) -> float:
        return self._link.epoch

    @epoch.setter
    def epoch(self, seconds: float) -> None:
        self._link.epoch = seconds

    @property
    def slow_types(self) -> set[str]:
        """Types whose ACK is their REPLY: accepted means done (registered with ``ack="on_reply"``)."""
        return self._receiver.slow_types

    # -- the link ---------------------------------------------------------------------------------------------

    def link_up(self, now: float) -> None:
        """The socket is connected (again): greet."""
        if not self._link.over:
            self._greet(now)

    def link_down(self, now: float) -> None:
        """The socket lost its connection. Requests wait; answers are kept to be asked for again."""
        if not self._link.over:
            self._link.lose(now)
            self._outbox.clear()
            self._receiver.forget_acks()

    def _greet(self, now: float) -> None:
        self._outbox.clear()
        self._link.greet(now, self._receiver.restart())

    def bye(self, now: float, reason: str = "") -> None:
        """Leave. Nothing is sent after this."""
        self._link.leave(now, reason)

    def drain(self, now: float) -> None:
        """Withdraw credit: take no further commands (they wait for a next life), finish those in hand."""
        self._receiver.drain(now)

    def set_window(self, window: int) -> None:
        """A new window of commands in hand. A smaller one takes effect as credit runs out."""
        self._receiver.grant.window = window

    def fence(self, info: ErrorInfo) -> None:
        """This life is over, because of a younger one of this name: every request fails, nothing more is sent."""
        self._link.end(info)
        self._outbox.clear()
        self._receiver.forget_acks()
        self._sender.fail_all(info)

    # -- receiving --------------------------------------------------------------------------------------------

    def receive(self, source: bytes, bundle: bytes, now: float) -> None:
        """One message ``[source][bundle]`` from the broker."""
        self._link.heard(now)
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
            elif kind is _REPLY:
                self._on_answer(envelope)
            elif kind is _ERROR:
                if sender == BROKER and not envelope.causation:
                    self._on_own_error(envelope)
                else:
                    self._on_answer(envelope)
            elif kind is _ACK:
                self._sender.on_ack(envelope, now)
            elif kind is _NACK:
                self._sender.on_nack(envelope, now)
            elif sender == BROKER:
                self._on_link(envelope, now)

    def _salvage(self, sender: str, bundle: bytes, reason: str, now: float) -> list[Envelope]:
        """Good envelopes of a bad bundle; an ERROR goes back for each bad one (or for the whole)."""
        good: list[Envelope] = []
        bad: list[bundles.BadEnvelope] = []
        try:
            for item in bundles.decode_each(bundle, most=self._link.limits.bundle_most):
                if isinstance(item, Envelope):
                    good.append(item)
                else:
                    bad.append(item)
        except bundles.BadBundle as error:
            bad.append(bundles.BadEnvelope(id=EnvelopeId(""), reason=str(error)))
        self._malformed += len(bad)
        if sender and self._link.up:
            for item in bad:
                info = ErrorInfo(
                    code=ErrorCode.BAD_ENVELOPE,
                    reason=item.reason or reason,
                    fix="docs/protocol.md describes the envelope field by field",
                )
                answer = self._link.envelope(_ERROR, "error", PeerName(sender), info, now, causation=item.id)
                self._outbox.put_answer(answer)
        return good

    def _on_own_error(self, envelope: Envelope) -> None:
        """The broker refuses this peer itself, not one of its commands: there may be nothing to wait for."""
        info = self._sender.error_of(envelope)
        if info.code in (ErrorCode.FENCED, ErrorCode.VERSION, ErrorCode.FORBIDDEN):
            self.fence(info)

    def _on_link(self, envelope: Envelope, now: float) -> None:
        try:
            if envelope.kind is Kind.WELCOME:
                if self._link.welcomed(_decode_welcome(envelope.payload), now):
                    self._sender.send_all(now)
            elif envelope.kind is Kind.TICK:
                if self._link.up:
                    self._receiver.grant.reconcile(_decode_tick(envelope.payload).sent)
            elif envelope.kind is Kind.HELLO and envelope.type == GREET:
                if self._link.state in (LinkState.UP, LinkState.DOWN):
                    self._greet(now)
            elif envelope.kind is Kind.EVENT and self._link.up:
                # What the old life of that peer had accepted and not answered goes to its new life.
                self._sender.send_all(now, PeerName(_decode_renewed(envelope.payload).name))
        except UNDECODABLE:
            self._malformed += 1

    # -- time -------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Do what is due: greet, give a sign of life, send again, give up."""
        if self._link.must_greet(now):
            if self._link.state is LinkState.GREETING:
                self._link.repeat_greeting(now)
            else:
                self._greet(now)
        else:
            self._link.tick(now, self._receiver.granted)
        self._sender.tick(now)

    def next_due(self) -> float | None:
        """The time at which `tick` or `outgoing` has something to do, if nothing else happens."""
        due = self._sender.next_due()
        if self._link.over:
            return due
        for other in (self._link.next_due(), self._receiver.acks_due):
            if other is not None and (due is None or other < due):
                due = other
        return due

    # -- what came of it --------------------------------------------------------------------------------------

    def wants_to_send(self) -> bool:
        """Whether `outgoing` has something right now (timers apart)."""
        return bool(self._outbox) or self._receiver.wants_to_send()

    def outgoing(self, now: float) -> list[Message]:
        """Frames to send now, in order per target; they are the caller's from here on."""
        if self._link.up:
            self._receiver.flush(now)
        return self._outbox.take(self._link.limits)

    def counts(self) -> PeerCounts:
        sender, receiver = self._sender, self._receiver
        return PeerCounts(
            requests=sender.requests,
            resends=sender.resends,
            handled=receiver.handled,
            duplicates=receiver.duplicates,
            expired=receiver.expired,
            refused=receiver.refused,
            late=sender.late,
            malformed=self._malformed + sender.malformed,
            welcomes=self._link.welcomes,
            pending=len(sender),
            in_hand=len(receiver.window.running),
            remembered=len(receiver.window),
        )
