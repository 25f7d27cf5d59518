"""The broker as a state machine: messages and the time in, messages and notices out. No I/O.

The shell calls `receive` for each message of the command socket and `tick` a few times a second; then it sends what
`outgoing` gives, reports what the socket refused (`blocked`, `unreachable`), and publishes `take_changes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from nerv.bus import bundle as bundles
from nerv.bus.deadletters import DeadLetter, DeadLetters, DeathReason
from nerv.bus.envelope import (
    BROKER,
    PROTOCOL_VERSION,
    Envelope,
    EnvelopeId,
    IdSource,
    Incarnation,
    Kind,
    PeerName,
)
from nerv.bus.limits import DEFAULT_LIMITS, Limits
from nerv.bus.link import GREET, PEER_NAME, WITHDRAWN, Bye, Credit, Hello, LinkTick, Renewed, Welcome
from nerv.bus.mailbox import Link, Mailbox, Waiting
from nerv.errors import ErrorCode, ErrorInfo

BUS = PeerName("bus")
"""The name under which the broker answers commands (`bus.status`, `deadletter.list`, …)."""
_BUS_FRAME = BUS.encode()
_FENCED_KEPT = 1024

_encode = msgspec.msgpack.Encoder().encode
_decode_hello = msgspec.msgpack.Decoder(Hello).decode
_decode_credit = msgspec.msgpack.Decoder(Credit).decode
_decode_tick = msgspec.msgpack.Decoder(LinkTick).decode
_decode_bye = msgspec.msgpack.Decoder(Bye).decode

Message = tuple[bytes, bytes, bytes]
"""``[identity][source][bundle]``."""


class Change(NamedTuple):
    """A peer came or went."""

    name: str
    incarnation: str
    up: bool
    reason: str


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
    """One life of the broker."""

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
        self.epoch = epoch
        self.dead_letters = DeadLetters(max_letters=limits.dead_letters, max_bytes=limits.dead_letter_bytes)
        self.tapping = False
        """Set by the shell while somebody watches: then `take_tapped` yields every routed bundle."""
        self.backlogged: set[Link] = set()
        """Links with messages their socket refused; the shell tries each again, in order, and removes the empty."""
        self._software = software
        self._ids = IdSource(incarnation)
        self._links: dict[bytes, Link] = {}
        self._boxes: dict[bytes, Mailbox] = {}
        self._fenced: dict[bytes, ErrorInfo] = {}
        self._out: list[Message] = []
        self._changes: list[Change] = []
        self._tapped: list[tuple[bytes, bytes, bytes]] = []
        self._requests: list[Envelope] = []
        self._ticked = now
        self._messages = self._commands = self._queued = self._busy = self._undeliverable = 0
        self._expired = self._fencings = self._malformed = self._answers_dropped = 0

    # -- receiving --------------------------------------------------------------------------------------------

    def receive(self, identity: bytes, target: bytes, bundle: bytes, now: float) -> None:
        """One message ``[target][bundle]`` from the peer of this routing id."""
        self._messages += 1
        link = self._links.get(identity)
        if link is None:
            self._on_stranger(identity, target, bundle, now)
            return
        link.last_heard = now
        if not target:
            self._on_link_bundle(link, bundle, now)
            return
        try:
            count, kind = bundles.peek(bundle)
        except bundles.BadBundle as error:
            self._refuse_bundle(link, str(error), now)
            return
        if self.tapping:
            self._tapped.append((link.frame, target, bundle))
        if kind == bundles.COMMAND_KIND:
            self._route_commands(link, target, bundle, count, now)
            return
        box = self._boxes.get(target)
        if box is None or box.holder is None:
            self._answers_dropped += count
        else:
            self._send(box.holder, link.frame, bundle)

    def malformed(self, identity: bytes, reason: str = "a message has two frames: target and bundle") -> None:
        """A message that is none, for example one of the wrong number of frames, came from this peer."""
        self._malformed += 1
        link = self._links.get(identity)
        if link is not None:
            self._refuse_bundle(link, reason, link.last_heard)

    def refuse(self, identity: bytes, command: Envelope, error: ErrorInfo, now: float) -> None:
        """The shell did not let this command in: its sender gets ERROR. (A stranger gets nothing: it must greet.)"""
        link = self._links.get(identity)
        if link is None or link.name != command.source:
            return
        answer = Envelope(
            id=self._ids.next(),
            kind=Kind.ERROR,
            type="error",
            source=BROKER,
            target=command.source,
            correlation=command.correlation,
            causation=command.id,
            trace=command.trace,
            sent_at=now + self.epoch,
            attempt=command.attempt,
            payload=msgspec.Raw(_encode(error)),
        )
        link.last_heard = now
        self._send(link, b"", bundles.encode([answer]))

    def ban(self, identity: bytes, error: ErrorInfo, now: float) -> None:
        """This peer is not welcome (any more): it is told to end, and its name is free."""
        link = self._links.get(identity)
        if link is not None:
            self._end(link, now, error.reason)
        self._out.append((identity, b"", self._own_bundle("", Kind.ERROR, "error", error, now)))

    def _route_commands(self, link: Link, target: bytes, bundle: bytes, count: int, now: float) -> None:
        self._commands += count
        if count > 4 * self.limits.bundle_envelopes:
            self._refuse_bundle(link, f"{count} envelopes in one bundle", now)
            return
        box = self._boxes.get(target)
        if box is None:
            if target == _BUS_FRAME:
                self._on_own_commands(link, bundle, now)
                return
            box = self._open_box(target, now)
            if box is None:
                self._nack_bundle(
                    link.frame, bundle, self._unknown_target(target), now, DeathReason.UNDELIVERABLE
                )
                return
        box.senders.add(link.frame)
        holder = box.holder
        if holder is not None and not box.waiting and holder.allowance.available >= count:
            holder.allowance.sent += count
            self._send(holder, link.frame, bundle)
        else:
            self._enqueue(box, link, bundle, count, now)
            self._pump(box)

    def _open_box(self, target: bytes, now: float) -> Mailbox | None:
        name = target.decode("utf-8", "replace")
        if len(self._boxes) >= self.limits.targets or not PEER_NAME.fullmatch(name):
            return None
        box = self._boxes[target] = Mailbox(name, now)
        return box

    def _unknown_target(self, target: bytes) -> ErrorInfo:
        return ErrorInfo(
            code=ErrorCode.UNDELIVERABLE,
            reason=f"no peer is called {target.decode('utf-8', 'replace')!r}",
            field="target",
            fix="`nerv status` lists the actors",
        )

    def _refuse_bundle(self, link: Link, reason: str, now: float) -> None:
        self._malformed += 1
        self._error(link, ErrorCode.BAD_ENVELOPE, reason, now, fix="docs/protocol.md describes the bundle")

    def _error(self, link: Link, code: ErrorCode, reason: str, now: float, *, fix: str | None = None) -> None:
        info = ErrorInfo(code=code, reason=reason, fix=fix)
        self._send_own(link, Kind.ERROR, "error", info, now)

    # -- waiting for credit -----------------------------------------------------------------------------------

    def _enqueue(self, box: Mailbox, link: Link, bundle: bytes, count: int, now: float) -> None:
        try:
            envelopes = bundles.decode(bundle)
        except bundles.BadBundle as error:
            self._refuse_bundle(link, str(error), now)
            return
        fresh = [envelope for envelope in envelopes if envelope.id not in box.ids]
        room = max(0, self.limits.queue_envelopes - box.count)
        if box.bytes + len(bundle) > self.limits.queue_bytes and box.count:
            room = 0
        if room < len(fresh):
            busy = ErrorInfo(
                code=ErrorCode.BUSY,
                reason=f"{box.count} commands already wait for {box.name!r}",
                retry_after=self.limits.busy_retry,
            )
            self._busy += len(fresh) - room
            self._nack(link.frame, fresh[room:], busy, now)
            fresh = fresh[:room]
        if not fresh:
            return
        if len(fresh) < count:
            bundle = bundles.encode(fresh)
        self._queued += len(fresh)
        box.push(_waiting(link.frame, bundle, fresh, now))

    def _pump(self, box: Mailbox) -> None:
        """Send what waits, as far as the credit goes."""
        holder = box.holder
        if holder is None:
            return
        allowance = holder.allowance
        while box.waiting and allowance.available > 0:
            item = box.pop()
            free = allowance.available
            if len(item.ids) > free:
                item, rest = item.split(free)
                box.push(rest, front=True)
            allowance.spend(len(item.ids))
            self._send(holder, item.source, item.bundle)

    def _expire(self, box: Mailbox, now: float) -> None:
        """Drop what is past its deadline, and what has waited too long for a name that nobody holds."""
        wall = now + self.epoch
        hold = self.limits.hold_unknown if box.incarnation is None else self.limits.hold_known
        for _ in range(len(box.waiting)):
            item = box.pop()
            if box.holder is None and now - max(item.arrived, box.absent_since) >= hold:
                error = self._unknown_target(box.frame)
                self._nack_bundle(item.source, item.bundle, error, now, DeathReason.UNDELIVERABLE)
            elif item.expires and item.expires <= wall:
                self._drop_expired(box, item, now)
            else:
                box.push(item)

    def _drop_expired(self, box: Mailbox, item: Waiting, now: float) -> None:
        wall = now + self.epoch
        alive: list[Envelope] = []
        for envelope in bundles.decode(item.bundle):
            if envelope.deadline and envelope.deadline <= wall:
                self._expired += 1
                self.dead_letters.add(envelope, DeathReason.EXPIRED, wall)
                error = ErrorInfo(
                    code=ErrorCode.DEADLINE, reason=f"its deadline passed while it waited for {box.name!r}"
                )
                self._nack(item.source, [envelope], error, now)
            else:
                alive.append(envelope)
        if alive:
            box.push(_waiting(item.source, bundles.encode(alive), alive, item.arrived))

    def _nack_bundle(
        self, source: bytes, bundle: bytes, error: ErrorInfo, now: float, reason: DeathReason
    ) -> None:
        try:
            envelopes = bundles.decode(bundle)
        except bundles.BadBundle:
            self._malformed += 1
            return
        self._undeliverable += len(envelopes)
        for envelope in envelopes:
            self.dead_letters.add(envelope, reason, now + self.epoch)
        self._nack(source, envelopes, error, now)

    def _nack(self, source: bytes, envelopes: list[Envelope], error: ErrorInfo, now: float) -> None:
        box = self._boxes.get(source)
        if box is None or box.holder is None:
            self._answers_dropped += len(envelopes)
            return
        payload = msgspec.Raw(_encode(error))
        nacks = [
            Envelope(
                id=self._ids.next(),
                kind=Kind.NACK,
                type="nack",
                source=BROKER,
                target=envelope.source,
                correlation=envelope.correlation,
                causation=envelope.id,
                sent_at=now + self.epoch,
                attempt=envelope.attempt,
                payload=payload,
            )
            for envelope in envelopes
        ]
        for packed in bundles.pack(
            nacks, max_envelopes=self.limits.bundle_envelopes, max_bytes=self.limits.bundle_bytes
        ):
            self._send(box.holder, b"", packed)

    # -- the link ---------------------------------------------------------------------------------------------

    def _on_stranger(self, identity: bytes, target: bytes, bundle: bytes, now: float) -> None:
        """Someone we do not know: only HELLO counts; anything else is answered with a request to greet."""
        fenced = self._fenced.get(identity)
        if fenced is not None:
            self._out.append((identity, b"", self._own_bundle("", Kind.ERROR, "error", fenced, now)))
            return
        if not target:
            try:
                envelopes = bundles.decode(bundle)
            except bundles.BadBundle as error:
                self._malformed += 1
                info = ErrorInfo(
                    code=ErrorCode.BAD_ENVELOPE,
                    reason=str(error),
                    fix="docs/protocol.md describes the bundle",
                )
                self._out.append((identity, b"", self._own_bundle("", Kind.ERROR, "error", info, now)))
                return
            for envelope in envelopes:
                if envelope.kind is Kind.HELLO:
                    self._on_hello(identity, envelope, now)
                    return
                if envelope.kind is Kind.BYE:
                    return
        self._out.append((identity, b"", self._own_bundle("", Kind.HELLO, GREET, LinkTick(), now)))

    def _on_hello(self, identity: bytes, envelope: Envelope, now: float) -> None:
        try:
            hello = _decode_hello(envelope.payload)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            self._malformed += 1
            self._turn_away(identity, ErrorCode.BAD_PAYLOAD, f"HELLO: {error}", now)
            return
        if envelope.version != PROTOCOL_VERSION:
            reason = f"protocol version {envelope.version} is spoken here as {PROTOCOL_VERSION}"
            self._turn_away(identity, ErrorCode.VERSION, reason, now)
            return
        if not PEER_NAME.fullmatch(hello.name) or hello.name == BUS:
            self._turn_away(identity, ErrorCode.FORBIDDEN, f"{hello.name!r} is no name for a peer", now)
            return
        frame = hello.name.encode()
        box = self._boxes.get(frame)
        if box is None:
            box = self._boxes[frame] = Mailbox(hello.name, now)
        before = self._links.get(identity)
        if before is not None and before.name != hello.name:
            self._end(before, now, f"now called {hello.name}")  # or its old name would be held for ever
        old = box.holder
        if old is not None and old.identity != identity and old.incarnation != hello.incarnation:
            if hello.started_at < old.started_at:
                self._fence(identity, hello.name, old.incarnation, now)
                return
            self._end(old, now, f"taken over by {hello.incarnation}")
            self._fence(old.identity, hello.name, hello.incarnation, now)
        elif old is not None:
            self._links.pop(old.identity, None)
        link = Link(
            identity=identity,
            name=hello.name,
            incarnation=hello.incarnation,
            started_at=hello.started_at,
            kind=hello.kind,
            software=hello.software,
            credit=hello.credit,
            now=now,
        )
        self._links[identity] = link
        known_life = box.incarnation
        was_up = box.holder is not None
        box.holder = link
        box.incarnation = hello.incarnation
        self._send_own(link, Kind.WELCOME, "link.welcome", self._welcome(), now)
        if known_life is not None and known_life != hello.incarnation:
            self._tell_renewed(box, hello.incarnation, now)
        if not was_up or known_life != hello.incarnation:
            self._changes.append(Change(hello.name, hello.incarnation, True, "hello"))
        self._pump(box)

    def _welcome(self) -> Welcome:
        limits = self.limits
        return Welcome(
            incarnation=self.incarnation,
            tick=limits.tick,
            silent_ticks=limits.silent_ticks,
            message_bytes=limits.message_bytes,
            bundle_bytes=limits.bundle_bytes,
            bundle_envelopes=limits.bundle_envelopes,
            software=self._software,
        )

    def _turn_away(self, identity: bytes, code: ErrorCode, reason: str, now: float) -> None:
        info = ErrorInfo(code=code, reason=reason, fix="docs/protocol.md describes HELLO")
        self._out.append((identity, b"", self._own_bundle("", Kind.ERROR, "error", info, now)))

    def _fence(self, identity: bytes, name: str, younger: str, now: float) -> None:
        self._fencings += 1
        info = ErrorInfo(
            code=ErrorCode.FENCED,
            reason=f"{name!r} is held by the younger incarnation {younger}",
            fix="end this process; only one may carry the name",
        )
        self._fenced[identity] = info
        while len(self._fenced) > _FENCED_KEPT:
            del self._fenced[next(iter(self._fenced))]
        self._out.append((identity, b"", self._own_bundle(name, Kind.ERROR, "error", info, now)))

    def _tell_renewed(self, box: Mailbox, incarnation: str, now: float) -> None:
        renewed = Renewed(name=box.name, incarnation=incarnation)
        for sender in box.senders:
            other = self._boxes.get(sender)
            if other is not None and other.holder is not None:
                self._send_own(other.holder, Kind.EVENT, "link.renewed", renewed, now)
        box.senders.clear()

    def _on_link_bundle(self, link: Link, bundle: bytes, now: float) -> None:
        try:
            envelopes = bundles.decode(bundle)
        except bundles.BadBundle as error:
            self._refuse_bundle(link, str(error), now)
            return
        for envelope in envelopes:
            try:
                self._on_link(link, envelope, now)
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                self._refuse_bundle(link, f"{envelope.kind.name}: {error}", now)

    def _on_link(self, link: Link, envelope: Envelope, now: float) -> None:
        kind = envelope.kind
        if kind is Kind.CREDIT:
            self._on_limit(link, _decode_credit(envelope.payload).limit)
        elif kind is Kind.HELLO:
            self._on_hello(link.identity, envelope, now)
        elif kind is Kind.BYE:
            self._end(link, now, _decode_bye(envelope.payload).reason or "bye")
        elif kind is Kind.COMMAND:
            self._own_command(link, envelope)
        elif kind is Kind.TICK:
            self._on_limit(link, _decode_tick(envelope.payload).limit)
        else:
            self._refuse_bundle(link, f"{kind.name} is not for the broker", now)

    def _on_limit(self, link: Link, limit: int) -> None:
        if limit == WITHDRAWN:
            link.allowance.withdraw()
        else:
            link.allowance.raise_to(limit)
            self._pump(self._boxes[link.frame])

    def _end(self, link: Link, now: float, reason: str) -> None:
        """This link is over: its name is free, its backlog is void (the senders will ask again)."""
        self._links.pop(link.identity, None)
        self._answers_dropped += len(link.backlog)
        link.backlog.clear()
        link.backlog_bytes = 0
        self.backlogged.discard(link)
        box = self._boxes.get(link.frame)
        if box is not None and box.holder is link:
            box.holder = None
            box.absent_since = now
            self._changes.append(Change(link.name, link.incarnation, False, reason))

    # -- the broker's own commands ----------------------------------------------------------------------------

    def _on_own_commands(self, link: Link, bundle: bytes, now: float) -> None:
        try:
            envelopes = bundles.decode(bundle)
        except bundles.BadBundle as error:
            self._refuse_bundle(link, str(error), now)
            return
        for envelope in envelopes:
            self._own_command(link, envelope)

    def _own_command(self, link: Link, envelope: Envelope) -> None:
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
        box = self._boxes.get(command.source.encode())
        if box is None or box.holder is None:
            self._answers_dropped += 1
            return
        reply = Envelope(
            id=self._ids.next(),
            kind=kind,
            type=type_name,
            source=BUS,
            target=command.source,
            correlation=command.correlation,
            causation=command.id,
            sent_at=now + self.epoch,
            attempt=command.attempt,
            payload=payload,
        )
        self._send(box.holder, _BUS_FRAME, bundles.encode([reply]))

    def resend(self, letter: DeadLetter, now: float, *, seconds: float) -> None:
        """Send a dead letter once more, in the name of its sender, with a new deadline."""
        envelope = msgspec.structs.replace(letter.envelope, deadline=now + self.epoch + seconds)
        target = envelope.target.encode()
        box = self._boxes.get(target) or self._open_box(target, now)
        if box is not None:
            box.push(_waiting(envelope.source.encode(), bundles.encode([envelope]), [envelope], now))
            self._pump(box)

    # -- sending ----------------------------------------------------------------------------------------------

    def _send(self, link: Link, source: bytes, bundle: bytes) -> None:
        if link.backlog:
            self._keep(link, source, bundle)
        else:
            self._out.append((link.identity, source, bundle))

    def _keep(self, link: Link, source: bytes, bundle: bytes) -> None:
        limits = self.limits
        if (
            len(link.backlog) >= limits.backlog_messages
            or link.backlog_bytes + len(bundle) > limits.backlog_bytes
        ):
            self._answers_dropped += 1
            return
        link.backlog.append((source, bundle))
        link.backlog_bytes += len(bundle)
        self.backlogged.add(link)

    def _send_own(self, link: Link, kind: Kind, type_name: str, payload: msgspec.Struct, now: float) -> None:
        self._send(link, b"", self._own_bundle(link.name, kind, type_name, payload, now))

    def _own_bundle(
        self, target: str, kind: Kind, type_name: str, payload: msgspec.Struct, now: float
    ) -> bytes:
        envelope = Envelope(
            id=self._ids.next(),
            kind=kind,
            type=type_name,
            source=BROKER,
            target=PeerName(target),
            sent_at=now + self.epoch,
            payload=msgspec.Raw(_encode(payload)),
        )
        return bundles.encode([envelope])

    def outgoing(self) -> list[Message]:
        """Messages to send now, without waiting. What the socket refuses goes back through `blocked`."""
        taken, self._out = self._out, []
        return taken

    def blocked(self, message: Message) -> None:
        """The socket of this peer is full (EAGAIN): keep the message, in order, and try later."""
        link = self._links.get(message[0])
        if link is not None:
            self._keep(link, message[1], message[2])

    def unreachable(self, identity: bytes, now: float) -> None:
        """The socket has no such connection (EHOSTUNREACH): the peer is gone."""
        link = self._links.get(identity)
        if link is not None:
            self._end(link, now, "connection lost")

    # -- time -------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Expire what waits; each ``limits.tick``, give a sign of life and notice silence."""
        for box in list(self._boxes.values()):
            if box.waiting:
                self._expire(box, now)
            elif box.holder is None and now - box.absent_since > self.limits.hold_known:
                del self._boxes[box.frame]
        if now - self._ticked < self.limits.tick:
            return
        self._ticked = now
        silence = self.limits.tick * self.limits.silent_ticks
        for link in list(self._links.values()):
            if now - link.last_heard > silence:
                self._end(link, now, f"silent for {now - link.last_heard:.1f} s")
            else:
                self._send_own(link, Kind.TICK, "link.tick", LinkTick(sent=link.allowance.sent), now)

    # -- what came of it --------------------------------------------------------------------------------------

    def take_changes(self) -> list[Change]:
        taken, self._changes = self._changes, []
        return taken

    def take_tapped(self) -> list[tuple[bytes, bytes, bytes]]:
        """``(source, target, bundle)`` of what was routed while ``tapping``."""
        taken, self._tapped = self._tapped, []
        return taken

    def links(self) -> Iterator[Link]:
        return iter(self._links.values())

    def boxes(self) -> Iterator[Mailbox]:
        return iter(self._boxes.values())

    def counts(self) -> BrokerCounts:
        return BrokerCounts(
            messages=self._messages,
            commands=self._commands,
            queued=self._queued,
            busy=self._busy,
            undeliverable=self._undeliverable,
            expired=self._expired,
            fenced=self._fencings,
            malformed=self._malformed,
            answers_dropped=self._answers_dropped,
            peers=len(self._links),
            waiting=sum(box.count for box in self._boxes.values()),
            backlog=sum(len(link.backlog) for link in self._links.values()),
            dead_letters=len(self.dead_letters),
        )


def _waiting(source: bytes, bundle: bytes, envelopes: list[Envelope], arrived: float) -> Waiting:
    return Waiting(
        source=source,
        bundle=bundle,
        ids=tuple(envelope.id for envelope in envelopes),
        arrived=arrived,
        expires=min((envelope.deadline for envelope in envelopes if envelope.deadline), default=0.0),
    )


__all__ = ("BUS", "BrokerCore", "BrokerCounts", "Change", "EnvelopeId", "Message")
