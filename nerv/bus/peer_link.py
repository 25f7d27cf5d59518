"""A peer's side of its link to the broker: greeting, signs of life, leaving, being fenced. No I/O."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from nerv.bus.envelope import BROKER, Envelope, IdSource, Incarnation, Kind, PeerName
from nerv.bus.limits import Limits
from nerv.bus.link import Bye, Hello, LinkTick, Welcome
from nerv.bus.outbox import Outbox
from nerv.errors import ErrorInfo

HELLO_PAUSE = 0.25
"""Seconds between HELLOs until WELCOME arrives."""

_encode = msgspec.msgpack.Encoder().encode


class LinkState(StrEnum):
    DOWN = "down"
    GREETING = "greeting"
    UP = "up"
    FENCED = "fenced"
    CLOSED = "closed"


class PeerLink:
    """Who this peer is, and how it stands with the broker. Both halves of the peer speak through it."""

    def __init__(
        self,
        hello: Hello,
        *,
        outbox: Outbox,
        limits: Limits,
        epoch: float,
    ) -> None:
        self.name = PeerName(hello.name)
        self.limits = limits
        """Its own; once welcomed, with those of the broker that concern both."""
        self.epoch = epoch
        """What to add to ``now`` (monotonic seconds) to get seconds since the epoch."""
        self.state = LinkState.DOWN
        self.up = False
        """Whether ``state`` is UP: asked for every envelope."""
        self.error: ErrorInfo | None = None
        """Why the link is over, once it is FENCED."""
        self.broker = ""
        """The broker's incarnation."""
        self.welcomes = 0
        self.ids = IdSource(Incarnation(hello.incarnation))
        self._hello = hello
        self._outbox = outbox
        self._hello_due = 0.0
        self._tick_due = 0.0
        self._heard = 0.0

    @property
    def over(self) -> bool:
        return self.state in (LinkState.FENCED, LinkState.CLOSED)

    def _enter(self, state: LinkState) -> None:
        self.state = state
        self.up = state is LinkState.UP

    def greet(self, now: float, credit: int) -> None:
        self._enter(LinkState.GREETING)
        self._hello = msgspec.structs.replace(self._hello, credit=credit, greeting=self._hello.greeting + 1)
        self.repeat_greeting(now)

    def repeat_greeting(self, now: float) -> None:
        self._hello_due = now + HELLO_PAUSE
        self.send(Kind.HELLO, "link.hello", self._hello, now)

    def lose(self, now: float) -> None:
        """The socket has no connection."""
        self._enter(LinkState.DOWN)
        self._hello_due = now + HELLO_PAUSE

    def welcomed(self, welcome: Welcome, now: float) -> bool:
        """False if nothing was asked: a WELCOME that comes twice changes nothing."""
        if self.state is not LinkState.GREETING:
            return False
        self._enter(LinkState.UP)
        self.broker = welcome.incarnation
        self.welcomes += 1
        self._tick_due = now + self.limits.tick
        self.limits = msgspec.structs.replace(
            self.limits,
            tick=welcome.tick,
            silent_ticks=welcome.silent_ticks,
            message_bytes=welcome.message_bytes,
            bundle_bytes=welcome.bundle_bytes,
            bundle_envelopes=welcome.bundle_envelopes,
        )
        return True

    def leave(self, now: float, reason: str) -> None:
        if self.up:
            self.send(Kind.BYE, "link.bye", Bye(reason=reason), now)
        if self.state is not LinkState.FENCED:
            self._enter(LinkState.CLOSED)

    def end(self, error: ErrorInfo) -> None:
        """For good: the broker does not want this life of this name."""
        self._enter(LinkState.FENCED)
        self.error = error

    def heard(self, now: float) -> None:
        self._heard = now

    def must_greet(self, now: float) -> bool:
        """The broker was silent for too long, or has not answered the last HELLO."""
        if self.up:
            return now - self._heard > self.limits.tick * self.limits.silent_ticks
        return not self.over and now >= self._hello_due

    def tick(self, now: float, granted: int) -> None:
        """A sign of life, if one is due."""
        if self.up and now >= self._tick_due:
            self._tick_due = now + self.limits.tick
            self.send(Kind.TICK, "link.tick", LinkTick(limit=granted), now)

    def next_due(self) -> float:
        return self._tick_due if self.up else self._hello_due

    def send(self, kind: Kind, type_name: str, payload: msgspec.Struct, now: float) -> None:
        """An envelope of the link itself."""
        self._outbox.put_answer(self.envelope(kind, type_name, BROKER, payload, now))

    def envelope(
        self,
        kind: Kind,
        type_name: str,
        target: PeerName,
        payload: msgspec.Struct,
        now: float,
        *,
        causation: str = "",
    ) -> Envelope:
        return Envelope(
            id=self.ids.next(),
            kind=kind,
            type=type_name,
            source=self.name,
            target=target,
            causation=causation,
            sent_at=now + self.epoch,
            payload=msgspec.Raw(_encode(payload)),
        )
