"""Who is on the bus: names, the life that holds each, takeovers and fencing. No I/O."""

from __future__ import annotations

from typing import NamedTuple

from nerv.bus.broker_outbox import BrokerOutbox
from nerv.bus.envelope import Incarnation, Kind
from nerv.bus.link import PEER_NAME, Hello, LinkTick, Renewed, Welcome
from nerv.bus.mailbox import Link, Mailbox
from nerv.errors import ErrorCode, ErrorInfo

_FENCED_KEPT = 1024
"""Lives that are remembered as fenced; one beyond, the oldest, would be told so again after its next HELLO."""


class Change(NamedTuple):
    """A peer came or went."""

    name: str
    incarnation: str
    up: bool
    reason: str


class Registry:
    """Links by routing id, and mailboxes by name. Of two lives of one name the younger holds it."""

    def __init__(self, outbox: BrokerOutbox, *, incarnation: Incarnation, software: str) -> None:
        self.links: dict[bytes, Link] = {}
        self.boxes: dict[bytes, Mailbox] = {}
        self.fencings = 0
        self._outbox = outbox
        self._incarnation = incarnation
        self._software = software
        self._fenced: dict[bytes, ErrorInfo] = {}
        self._changes: list[Change] = []

    def holder(self, name: bytes) -> Link | None:
        """The link of whoever holds this name now."""
        box = self.boxes.get(name)
        return None if box is None else box.holder

    def fenced(self, identity: bytes) -> ErrorInfo | None:
        """Why this routing id is not let in any more."""
        return self._fenced.get(identity)

    def open_box(self, name: bytes, now: float) -> Mailbox | None:
        """The mailbox of a name; None if it can be none, or if there are too many already."""
        box = self.boxes.get(name)
        if box is None:
            text = name.decode("utf-8", "replace")
            if len(self.boxes) >= self._outbox.limits.targets or not PEER_NAME.fullmatch(text):
                return None
            box = self.boxes[name] = Mailbox(text, now)
        return box

    # -- coming -----------------------------------------------------------------------------------------------

    def hello(self, identity: bytes, hello: Hello, now: float) -> Mailbox | None:
        """Let a peer in under a name that it may have; its mailbox, or None if it was fenced instead."""
        frame = hello.name.encode()
        box = self.boxes.get(frame)
        if box is None:
            box = self.boxes[frame] = Mailbox(hello.name, now)
        before = self.links.get(identity)
        if before is not None and before.name != hello.name:
            self.end(before, now, f"now called {hello.name}")  # or its old name would be held for ever
        old = box.holder
        if old is not None and old.identity != identity and old.incarnation != hello.incarnation:
            if hello.started_at < old.started_at:
                self._fence(identity, hello.name, old.incarnation, now)
                return None
            self.end(old, now, f"taken over by {hello.incarnation}")
            self._fence(old.identity, hello.name, hello.incarnation, now)
        elif old is not None and old.identity == identity and old.greeting == hello.greeting != 0:
            self._outbox.say(old, Kind.WELCOME, "link.welcome", self._welcome(), now)
            return box
        elif old is not None:
            self.links.pop(old.identity, None)
            self._outbox.forget(old)
        self._attach(box, identity, hello, now)
        return box

    def _attach(self, box: Mailbox, identity: bytes, hello: Hello, now: float) -> None:
        link = Link(
            identity=identity,
            name=hello.name,
            incarnation=hello.incarnation,
            started_at=hello.started_at,
            kind=hello.kind,
            software=hello.software,
            credit=hello.credit,
            greeting=hello.greeting,
            now=now,
        )
        self.links[identity] = link
        known_life = box.incarnation
        was_up = box.holder is not None
        box.holder = link
        box.incarnation = hello.incarnation
        self._outbox.say(link, Kind.WELCOME, "link.welcome", self._welcome(), now)
        if known_life is not None and known_life != hello.incarnation:
            self._tell_renewed(box, hello.incarnation, now)
        if not was_up or known_life != hello.incarnation:
            self._changes.append(Change(hello.name, hello.incarnation, True, "hello"))

    def _welcome(self) -> Welcome:
        limits = self._outbox.limits
        return Welcome(
            incarnation=self._incarnation,
            tick=limits.tick,
            silent_ticks=limits.silent_ticks,
            message_bytes=limits.message_bytes,
            bundle_bytes=limits.bundle_bytes,
            bundle_envelopes=limits.bundle_envelopes,
            software=self._software,
        )

    def _fence(self, identity: bytes, name: str, younger: str, now: float) -> None:
        self.fencings += 1
        info = ErrorInfo(
            code=ErrorCode.FENCED,
            reason=f"{name!r} is held by the younger incarnation {younger}",
            fix="end this process; only one may carry the name",
        )
        self._fenced[identity] = info
        while len(self._fenced) > _FENCED_KEPT:
            del self._fenced[next(iter(self._fenced))]
        self._outbox.say_to(identity, Kind.ERROR, "error", info, now, name=name)

    def _tell_renewed(self, box: Mailbox, incarnation: str, now: float) -> None:
        """Whoever sent commands to the old life shall send again what has no outcome."""
        renewed = Renewed(name=box.name, incarnation=incarnation)
        for sender in box.senders:
            other = self.holder(sender)
            if other is not None:
                self._outbox.say(other, Kind.EVENT, "link.renewed", renewed, now)
        box.senders.clear()

    # -- going ------------------------------------------------------------------------------------------------

    def end(self, link: Link, now: float, reason: str) -> None:
        """This link is over: its name is free, its backlog is void (the senders will ask again)."""
        self.links.pop(link.identity, None)
        self._outbox.forget(link)
        box = self.boxes.get(link.frame)
        if box is not None and box.holder is link:
            box.holder = None
            box.absent_since = now
            self._changes.append(Change(link.name, link.incarnation, False, reason))

    def tick(self, now: float) -> None:
        """A sign of life to each peer, and an end to those who gave none for too long."""
        limits = self._outbox.limits
        silence = limits.tick * limits.silent_ticks
        for link in list(self.links.values()):
            if now - link.last_heard > silence:
                self.end(link, now, f"silent for {now - link.last_heard:.1f} s")
            else:
                self._outbox.say(link, Kind.TICK, "link.tick", LinkTick(sent=link.allowance.sent), now)

    def forget_absent(self, now: float) -> None:
        """Names that nobody holds and nothing waits for."""
        for box in list(self.boxes.values()):
            if (
                box.holder is None
                and not box.waiting
                and now - box.absent_since > self._outbox.limits.hold_known
            ):
                del self.boxes[box.frame]
                for other in self.boxes.values():
                    other.senders.pop(box.frame, None)

    def take_changes(self) -> list[Change]:
        taken, self._changes = self._changes, []
        return taken
