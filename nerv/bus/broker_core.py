"""The broker as a state machine: messages and the time in, messages and notices out. No I/O.

The shell calls `receive` for each message of the command socket and `tick` a few times a second; then it sends what
`outgoing` gives, reports what the socket refused (`blocked`, `unreachable`), and publishes `take_changes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from nerv.bus import bundle as bundles
from nerv.bus.broker_outbox import BrokerOutbox, Message
from nerv.bus.deadletters import DeadLetter, DeadLetters
from nerv.bus.envelope import PROTOCOL_VERSION, Envelope, Incarnation, Kind, PeerName
from nerv.bus.limits import DEFAULT_LIMITS, Limits
from nerv.bus.link import GREET, PEER_NAME, WITHDRAWN, Bye, Credit, Hello, LinkTick
from nerv.bus.mailbox import Link, Mailbox
from nerv.bus.registry import Change, Registry
from nerv.bus.routing import Routing
from nerv.errors import UNDECODABLE, ErrorCode, ErrorInfo

__all__ = ("BUS", "BrokerCore", "BrokerCounts", "Change", "Message")

BUS = PeerName("bus")
"""The name under which the broker answers commands (`bus.status`, `deadletter.list`, …)."""
_BUS_FRAME = BUS.encode()

_decode_hello = msgspec.msgpack.Decoder(Hello).decode
_decode_credit = msgspec.msgpack.Decoder(Credit).decode
_decode_tick = msgspec.msgpack.Decoder(LinkTick).decode
_decode_bye = msgspec.msgpack.Decoder(Bye).decode


class BrokerCounts(NamedTuple):
    """Totals of one life; the last four are as of now."""

    messages: int
    commands: int
    queued: int
    busy: int
    undeliverable: int
    expired: int
    fenced: int
    malformed: int
    answers_dropped: int
    peers: int
    waiting: int
    backlog: int
    dead_letters: int


class BrokerCore:
    """One life of the broker: who is there (Registry), what goes to whom (Routing), what leaves (BrokerOutbox)."""

    def __init__(
        self,
        *,
        incarnation: Incarnation,
        now: float,
        limits: Limits = DEFAULT_LIMITS,
        epoch: float = 0.0,
        software: str = "",
    ) -> None:
        self.incarnation = incarnation
        self.limits = limits
        self._outbox = BrokerOutbox(incarnation=incarnation, limits=limits, epoch=epoch)
        self._registry = Registry(self._outbox, incarnation=incarnation, software=software)
        self._routing = Routing(self._outbox, self._registry)
        self._requests: list[Envelope] = []
        self._ticked = now
        self._messages = self._malformed = 0

    @property
    def epoch(self) -> float:
        """What to add to ``now`` to get seconds since the epoch."""
        return self._outbox.epoch

    @epoch.setter
    def epoch(self, seconds: float) -> None:
        self._outbox.epoch = seconds

    @property
    def tapping(self) -> bool:
        """Set by the shell while somebody watches: then `take_tapped` yields every bundle."""
        return self._outbox.tapping

    @tapping.setter
    def tapping(self, watched: bool) -> None:
        self._outbox.tapping = watched

    @property
    def backlogged(self) -> set[Link]:
        """Links with messages their socket refused; the shell tries each again, in order, and removes the empty."""
        return self._outbox.backlogged

    @property
    def dead_letters(self) -> DeadLetters:
        return self._routing.dead_letters

    # -- receiving --------------------------------------------------------------------------------------------

    def receive(self, identity: bytes, target: bytes, bundle: bytes, now: float) -> None:
        """One message ``[target][bundle]`` from the peer of this routing id."""
        self._messages += 1
        link = self._registry.links.get(identity)
        if link is None:
            self._on_stranger(identity, target, bundle, now)
            return
        link.last_heard = now
        try:
            count, _ = bundles.count_of(bundle)
            if count > self.limits.bundle_most:
                raise bundles.too_many(count)
            if target:
                self._on_message(link, target, bundle, now)
            else:
                for envelope in bundles.decode(bundle):
                    self._on_link(link, envelope, now)
        except bundles.BadBundle as error:
            self._refuse(link, str(error), now)

    def _on_message(self, link: Link, target: bytes, bundle: bytes, now: float) -> None:
        count, kind = bundles.peek(bundle)
        self._outbox.tap(link.frame, target, bundle)
        if kind != bundles.COMMAND_KIND:
            holder = self._registry.holder(target)
            if holder is None:
                self._outbox.dropped += count
            else:
                self._outbox.send(holder, link.frame, bundle)
        elif target == _BUS_FRAME:
            for envelope in bundles.decode(bundle):
                self._on_own_command(link, envelope)
        else:
            self._routing.route(link, target, bundle, count, now)

    def malformed(self, identity: bytes, reason: str = "a message has two frames: target and bundle") -> None:
        """A message that is none, for example one of the wrong number of frames, came from this peer."""
        link = self._registry.links.get(identity)
        if link is None:
            self._malformed += 1
        else:
            self._refuse(link, reason, link.last_heard)

    def _refuse(self, link: Link, reason: str, now: float) -> None:
        self._malformed += 1
        info = ErrorInfo(
            code=ErrorCode.BAD_ENVELOPE, reason=reason, fix="docs/protocol.md describes the bundle"
        )
        self._outbox.say(link, Kind.ERROR, "error", info, now)

    def refuse(self, identity: bytes, command: Envelope, error: ErrorInfo, now: float) -> None:
        """The shell did not let this command in: its sender gets ERROR. (A stranger gets nothing: it must greet.)"""
        link = self._registry.links.get(identity)
        if link is not None and link.name == command.source:
            link.last_heard = now
            self._outbox.error(link, command, error, now)

    def ban(self, identity: bytes, error: ErrorInfo, now: float) -> None:
        """This peer is not welcome (any more): it is told to end, and its name is free."""
        link = self._registry.links.get(identity)
        if link is not None:
            self._registry.end(link, now, error.reason)
        self._outbox.say_to(identity, Kind.ERROR, "error", error, now)

    # -- the link ---------------------------------------------------------------------------------------------

    def _on_stranger(self, identity: bytes, target: bytes, bundle: bytes, now: float) -> None:
        """Someone we do not know: only HELLO counts; anything else is answered with a request to greet."""
        fenced = self._registry.fenced(identity)
        if fenced is not None:
            self._outbox.say_to(identity, Kind.ERROR, "error", fenced, now)
            return
        if not target:
            try:
                envelopes = bundles.decode(bundle)
            except bundles.BadBundle as error:
                self._malformed += 1
                self._turn_away(identity, ErrorCode.BAD_ENVELOPE, str(error), now)
                return
            for envelope in envelopes:
                if envelope.kind is Kind.HELLO:
                    self._on_hello(identity, envelope, now)
                    return
                if envelope.kind is Kind.BYE:
                    return
        self._outbox.say_to(identity, Kind.HELLO, GREET, LinkTick(), now)

    def _on_hello(self, identity: bytes, envelope: Envelope, now: float) -> None:
        try:
            hello = _decode_hello(envelope.payload)
        except UNDECODABLE as error:
            self._malformed += 1
            self._turn_away(identity, ErrorCode.BAD_PAYLOAD, f"HELLO: {error}", now)
            return
        if envelope.version != PROTOCOL_VERSION:
            reason = f"protocol version {envelope.version} is spoken here as {PROTOCOL_VERSION}"
            self._turn_away(identity, ErrorCode.VERSION, reason, now)
        elif not PEER_NAME.fullmatch(hello.name) or hello.name == BUS:
            self._turn_away(identity, ErrorCode.FORBIDDEN, f"{hello.name!r} is no name for a peer", now)
        else:
            box = self._registry.hello(identity, hello, now)
            if box is not None:
                self._routing.pump(box)

    def _turn_away(self, identity: bytes, code: ErrorCode, reason: str, now: float) -> None:
        info = ErrorInfo(code=code, reason=reason, fix="docs/protocol.md describes HELLO and the bundle")
        self._outbox.say_to(identity, Kind.ERROR, "error", info, now)

    def _on_link(self, link: Link, envelope: Envelope, now: float) -> None:
        kind = envelope.kind
        try:
            if kind is Kind.CREDIT:
                self._on_limit(link, _decode_credit(envelope.payload).limit)
            elif kind is Kind.HELLO:
                self._on_hello(link.identity, envelope, now)
            elif kind is Kind.BYE:
                self._registry.end(link, now, _decode_bye(envelope.payload).reason or "bye")
            elif kind is Kind.COMMAND:
                self._on_own_command(link, envelope)
            elif kind is Kind.TICK:
                self._on_limit(link, _decode_tick(envelope.payload).limit)
            else:
                self._refuse(link, f"{kind.name} is not for the broker", now)
        except UNDECODABLE as error:
            self._refuse(link, f"{kind.name}: {error}", now)

    def _on_limit(self, link: Link, limit: int) -> None:
        if limit == WITHDRAWN:
            link.allowance.withdraw()
        else:
            link.allowance.raise_to(limit)
            self._routing.pump(self._registry.boxes[link.frame])

    # -- the broker's own commands ----------------------------------------------------------------------------

    def _on_own_command(self, link: Link, envelope: Envelope) -> None:
        if envelope.kind is Kind.COMMAND and envelope.source == link.name:
            self._requests.append(envelope)
        else:
            self._malformed += 1

    @property
    def has_requests(self) -> bool:
        return bool(self._requests)

    def take_requests(self) -> list[Envelope]:
        """Commands to the broker itself; the shell answers each with `answer`. They are idempotent, not deduped."""
        taken, self._requests = self._requests, []
        return taken

    def answer(self, command: Envelope, kind: Kind, type_name: str, payload: msgspec.Raw, now: float) -> None:
        asker = self._registry.holder(command.source.encode())
        if asker is None:
            self._outbox.dropped += 1
            return
        reply = self._outbox.answer(command, kind, type_name, payload, now, source=BUS)
        bundle = bundles.encode([reply])
        self._outbox.tap(_BUS_FRAME, asker.frame, bundle)
        self._outbox.send(asker, _BUS_FRAME, bundle)

    def resend(self, letter: DeadLetter, now: float, *, seconds: float) -> bool:
        """Send a dead letter once more, in the name of its sender, with a new deadline; False if nobody can have it."""
        return self._routing.resend(letter, now, now + self.epoch + seconds)

    # -- sending ----------------------------------------------------------------------------------------------

    def outgoing(self) -> list[Message]:
        """Messages to send now, without waiting. What the socket refuses goes back through `blocked`."""
        return self._outbox.take()

    def is_backlogged(self, identity: bytes) -> bool:
        """Whether earlier messages to this peer still wait: later ones must not overtake them."""
        link = self._registry.links.get(identity)
        return link is not None and bool(link.backlog)

    def blocked(self, message: Message) -> None:
        """The socket of this peer is full (EAGAIN): keep the message, in order, and try later."""
        link = self._registry.links.get(message[0])
        if link is not None:
            self._outbox.keep(link, message[1], message[2])

    def unreachable(self, identity: bytes, now: float) -> None:
        """The socket has no such connection (EHOSTUNREACH): the peer is gone."""
        link = self._registry.links.get(identity)
        if link is not None:
            self._registry.end(link, now, "connection lost")

    # -- time -------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Expire what waits; each ``limits.tick``, give a sign of life and notice silence."""
        self._routing.expire(now)
        self._registry.forget_absent(now)
        if now - self._ticked >= self.limits.tick:
            self._ticked = now
            self._registry.tick(now)

    # -- what came of it --------------------------------------------------------------------------------------

    def take_changes(self) -> list[Change]:
        return self._registry.take_changes()

    def take_tapped(self) -> list[tuple[bytes, bytes, bytes]]:
        """``(source, target, bundle)`` of what peers sent, and of what the broker answered, while ``tapping``."""
        taken, self._outbox.tapped = self._outbox.tapped, []
        return taken

    def links(self) -> Iterator[Link]:
        return iter(self._registry.links.values())

    def boxes(self) -> Iterator[Mailbox]:
        return iter(self._registry.boxes.values())

    def counts(self) -> BrokerCounts:
        routing, registry = self._routing, self._registry
        return BrokerCounts(
            messages=self._messages,
            commands=routing.commands,
            queued=routing.queued,
            busy=routing.busy,
            undeliverable=routing.undeliverable,
            expired=routing.expired,
            fenced=registry.fencings,
            malformed=self._malformed,
            answers_dropped=self._outbox.dropped,
            peers=len(registry.links),
            waiting=sum(box.count for box in registry.boxes.values()),
            backlog=sum(len(link.backlog) for link in registry.links.values()),
            dead_letters=len(routing.dead_letters),
        )
