"""What the broker says next, and what one peer's full socket has not taken yet. No I/O."""

from __future__ import annotations

import msgspec

from nerv.bus import bundle as bundles
from nerv.bus.envelope import BROKER, Envelope, IdSource, Incarnation, Kind, PeerName, answer_to
from nerv.bus.limits import Limits
from nerv.bus.mailbox import Link
from nerv.errors import ErrorInfo

Message = tuple[bytes, bytes, bytes]
"""``[identity][source][bundle]``."""

_OWN = b""
"""The source frame of what the broker itself says about the link."""
_encode = msgspec.msgpack.Encoder().encode


class BrokerOutbox:
    """Each link has a backlog of its own, so that one peer that does not read delays nobody else.

    A backlog is bounded; beyond, the message is dropped and counted: whoever waits for it asks again.
    """

    def __init__(self, *, incarnation: Incarnation, limits: Limits, epoch: float) -> None:
        self.limits = limits
        self.epoch = epoch
        self.ids = IdSource(incarnation)
        self.backlogged: set[Link] = set()
        self.dropped = 0
        self.tapping = False
        self.tapped: list[tuple[bytes, bytes, bytes]] = []
        self._messages: list[Message] = []

    # -- messages ---------------------------------------------------------------------------------------------

    def send(self, link: Link, source: bytes, bundle: bytes) -> None:
        if link.backlog:
            self.keep(link, source, bundle)
        else:
            self._messages.append((link.identity, source, bundle))

    def keep(self, link: Link, source: bytes, bundle: bytes) -> None:
        """Its socket is full, or earlier messages still wait: to the end of its backlog."""
        limits = self.limits
        if (
            len(link.backlog) >= limits.backlog_messages
            or link.backlog_bytes + len(bundle) > limits.backlog_bytes
        ):
            self.dropped += 1
            return
        link.backlog.append((source, bundle))
        link.backlog_bytes += len(bundle)
        self.backlogged.add(link)

    def forget(self, link: Link) -> None:
        """The link is over, and its backlog void."""
        self.dropped += len(link.backlog)
        link.backlog.clear()
        link.backlog_bytes = 0
        self.backlogged.discard(link)

    def take(self) -> list[Message]:
        """Messages to send now, without waiting. What the socket refuses goes back through `keep`."""
        taken, self._messages = self._messages, []
        return taken

    def tap(self, source: bytes, target: bytes, bundle: bytes) -> None:
        """Note what goes between peers, while somebody watches."""
        if self.tapping:
            self.tapped.append((source, target, bundle))

    # -- what the broker itself says --------------------------------------------------------------------------

    def say(self, link: Link, kind: Kind, type_name: str, payload: msgspec.Struct, now: float) -> None:
        """An envelope of the link itself."""
        self.send(link, _OWN, self._own_bundle(link.name, kind, type_name, payload, now))

    def say_to(
        self,
        identity: bytes,
        kind: Kind,
        type_name: str,
        payload: msgspec.Struct,
        now: float,
        *,
        name: str = "",
    ) -> None:
        """The same to one that has no link."""
        self._messages.append((identity, _OWN, self._own_bundle(name, kind, type_name, payload, now)))

    def error(self, link: Link, command: Envelope, error: ErrorInfo, now: float) -> None:
        """ERROR to one command that was not let in."""
        payload = msgspec.Raw(_encode(error))
        envelope = self.answer(command, Kind.ERROR, "error", payload, now, source=BROKER)
        bundle = bundles.encode([envelope])
        self.tap(_OWN, link.frame, bundle)
        self.send(link, _OWN, bundle)

    def nack(self, link: Link, commands: list[Envelope], error: ErrorInfo, now: float) -> None:
        """NACK to each of the commands: not accepted, nothing done."""
        payload = msgspec.Raw(_encode(error))
        nacks = [self.answer(command, Kind.NACK, "nack", payload, now, source=BROKER) for command in commands]
        for packed in bundles.pack(
            nacks, max_envelopes=self.limits.bundle_envelopes, max_bytes=self.limits.bundle_bytes
        ):
            self.tap(_OWN, link.frame, packed)
            self.send(link, _OWN, packed)

    def answer(
        self,
        command: Envelope,
        kind: Kind,
        type_name: str,
        payload: msgspec.Raw,
        now: float,
        *,
        source: PeerName,
    ) -> Envelope:
        return answer_to(
            command,
            kind,
            type_name,
            payload,
            self.ids.next(),
            source,
            now + self.epoch,
        )

    def _own_bundle(
        self, target: str, kind: Kind, type_name: str, payload: msgspec.Struct, now: float
    ) -> bytes:
        envelope = Envelope(
            id=self.ids.next(),
            kind=kind,
            type=type_name,
            source=BROKER,
            target=PeerName(target),
            sent_at=now + self.epoch,
            payload=msgspec.Raw(_encode(payload)),
        )
        return bundles.encode([envelope])
