"""A name at the broker: who holds it now, and the commands that wait for it."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from nerv.bus import bundle as bundles
from nerv.bus.credit import Allowance
from nerv.bus.envelope import EnvelopeId


class Waiting(NamedTuple):
    """A bundle of commands without credit. ``expires``: earliest deadline in it (epoch seconds, 0.0 none)."""

    source: bytes
    bundle: bytes
    ids: tuple[EnvelopeId, ...]
    arrived: float
    expires: float

    def split(self, count: int) -> tuple[Waiting, Waiting]:
        """The first ``count`` envelopes, and the rest."""
        raws = bundles.split(self.bundle)
        return (
            self._replace(bundle=bundles.encode(raws[:count]), ids=self.ids[:count]),
            self._replace(bundle=bundles.encode(raws[count:]), ids=self.ids[count:]),
        )


class Link:
    """One connection of one incarnation. ``sent`` messages the socket refused wait in ``backlog``."""

    __slots__ = (
        "allowance",
        "backlog",
        "backlog_bytes",
        "frame",
        "greeting",
        "identity",
        "incarnation",
        "kind",
        "last_heard",
        "name",
        "since",
        "software",
        "started_at",
    )

    def __init__(
        self,
        *,
        identity: bytes,
        name: str,
        incarnation: str,
        started_at: float,
        kind: str,
        software: str,
        credit: int,
        greeting: int,
        now: float,
    ) -> None:
        self.identity = identity
        self.name = name
        self.frame = name.encode()
        self.incarnation = incarnation
        self.started_at = started_at
        self.kind = kind
        self.software = software
        self.greeting = greeting
        self.allowance = Allowance(credit)
        self.backlog: deque[tuple[bytes, bytes]] = deque()
        self.backlog_bytes = 0
        self.last_heard = now
        self.since = now


class Mailbox:
    """Outlives the incarnations of its name; removed when nobody holds it and nothing waits in it."""

    __slots__ = (
        "absent_since",
        "bytes",
        "frame",
        "holder",
        "ids",
        "incarnation",
        "name",
        "senders",
        "waiting",
    )

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.frame = name.encode()
        self.holder: Link | None = None
        self.incarnation: str | None = None
        """Of the last holder; None if the name was never seen."""
        self.absent_since = now
        self.waiting: deque[Waiting] = deque()
        self.ids: set[EnvelopeId] = set()
        """Of all that waits: a resend of one of them changes nothing."""
        self.bytes = 0
        self.senders: dict[bytes, None] = {}
        """Who sent commands to this life, in the order of their first one."""

    @property
    def count(self) -> int:
        """Commands that wait."""
        return len(self.ids)

    def push(self, item: Waiting, *, front: bool = False) -> None:
        if front:
            self.waiting.appendleft(item)
        else:
            self.waiting.append(item)
        self.ids.update(item.ids)
        self.bytes += len(item.bundle)

    def pop(self) -> Waiting:
        item = self.waiting.popleft()
        self.ids.difference_update(item.ids)
        self.bytes -= len(item.bundle)
        return item
