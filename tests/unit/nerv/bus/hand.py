"""A broker core whose messages are made and read by hand."""

from __future__ import annotations

import msgspec

from nerv.bus import bundle as bundles
from nerv.bus.broker_core import BrokerCore
from nerv.bus.envelope import BROKER, PROTOCOL_VERSION, Envelope, EnvelopeId, Incarnation, Kind, PeerName
from nerv.bus.limits import Limits
from nerv.bus.link import Hello
from nerv.errors import ErrorInfo

Sent = tuple[bytes, Envelope]
"""To which routing id, and what."""


def error_in(envelope: Envelope) -> ErrorInfo:
    return msgspec.msgpack.decode(envelope.payload, type=ErrorInfo)


class Hand:
    """Every message goes in at ``now``, which stands still until it is set."""

    def __init__(self, **limits: float) -> None:
        self.broker = BrokerCore(
            incarnation=Incarnation("b"),
            now=0.0,
            limits=Limits(**limits),  # type: ignore[arg-type]
        )
        self.now = 0.0
        self._number = 0

    def envelope(
        self,
        kind: Kind,
        source: str,
        target: str,
        payload: object = None,
        *,
        type_name: str = "actor.restart",
        version: int = PROTOCOL_VERSION,
    ) -> Envelope:
        self._number += 1
        return Envelope(
            version=version,
            id=EnvelopeId(f"{source}-{self._number}"),
            kind=kind,
            type=type_name,
            source=PeerName(source),
            target=PeerName(target),
            payload=msgspec.Raw(msgspec.msgpack.encode(payload)),
        )

    def send(self, *envelopes: Envelope, identity: bytes = b"") -> None:
        """One bundle, to the target of the first. ``identity``: the routing id, where it is not the source's name."""
        first = envelopes[0]
        source = identity or first.source.encode()
        self.broker.receive(source, first.target.encode(), bundles.encode(list(envelopes)), self.now)

    def greet(
        self,
        name: str,
        *,
        credit: int = 0,
        incarnation: str = "1",
        started_at: float = 1.0,
        identity: bytes = b"",
        version: int = PROTOCOL_VERSION,
    ) -> list[Sent]:
        """Say HELLO; what the broker sends then."""
        hello = Hello(name=name, incarnation=incarnation, started_at=started_at, credit=credit)
        self.send(self.envelope(Kind.HELLO, name, BROKER, hello, version=version), identity=identity)
        return self.take()

    def take(self) -> list[Sent]:
        """All that the broker sends."""
        return [
            (identity, envelope)
            for identity, _, bundle in self.broker.outgoing()
            for envelope in bundles.decode(bundle)
        ]

    def nacked(self) -> list[tuple[str, ErrorInfo]]:
        """(command, error) of each NACK that the broker sends."""
        return [
            (envelope.causation, error_in(envelope))
            for _, envelope in self.take()
            if envelope.kind is Kind.NACK
        ]

    def refuse_all_to(self, identity: bytes) -> int:
        """This peer's socket takes nothing (EAGAIN); how many messages go to others."""
        others = 0
        for message in self.broker.outgoing():
            if message[0] == identity:
                self.broker.blocked(message)
            else:
                others += 1
        return others
