"""Payloads of the link between a peer and the broker. They are not in the vocabulary: actors never see them."""

from __future__ import annotations

import re

import msgspec

from nerv.bus.envelope import EnvelopeId

PEER_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
"""What a peer may call itself."""

GREET = "link.greet"
"""Broker to an unknown identity: say HELLO first (the broker was restarted, or the peer counted as gone)."""


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Peer to broker, before anything else; again after silence, reconnection or a request to greet.

    ``started_at``: seconds since the epoch; of two incarnations of one name the younger one wins.
    ``credit``: how many commands the peer takes now. ``kind``: ``actor``, ``client``, ``supervisor``, …
    """

    name: str
    incarnation: str
    started_at: float
    credit: int
    kind: str = "client"
    software: str = ""
    greeting: int = 0
    """Counts the greetings of this life. One that is repeated because no WELCOME came keeps its number, and then its
    credit counts once. 0: each HELLO is a greeting of its own."""


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """Broker to peer: you are known. A new ``incarnation`` means that the broker has forgotten everything."""

    incarnation: str
    tick: float
    silent_ticks: int
    message_bytes: int
    bundle_bytes: int
    bundle_envelopes: int
    software: str = ""


WITHDRAWN = -1
"""As ``limit`` of CREDIT: send me no further commands, I am about to leave."""


class Credit(msgspec.Struct, frozen=True, kw_only=True):
    """Peer to broker: since my HELLO you may have sent me ``limit`` commands in all.

    A running total, so that a lost or doubled CREDIT does no harm.
    """

    limit: int


class LinkTick(msgspec.Struct, frozen=True, kw_only=True):
    """A sign of life, and both running totals again, so that what was lost on the way is made good.

    From the broker, ``sent``: commands sent on this link since HELLO; what did not arrive is lost, and its credit
    can be granted anew. From a peer, ``limit``: as in CREDIT.
    """

    sent: int = 0
    limit: int = 0


class Renewed(msgspec.Struct, frozen=True, kw_only=True):
    """Broker to everyone who sent commands to ``name``: it has a new life and knows nothing of them."""

    name: str
    incarnation: str


class Bye(msgspec.Struct, frozen=True, kw_only=True):
    """Peer to broker: I leave. ``reason`` is shown to whoever watches."""

    reason: str = ""


class Acks(msgspec.Struct, frozen=True, kw_only=True):
    """Receiver to sender: these commands are accepted. One ACK envelope carries many."""

    ids: tuple[EnvelopeId, ...]
