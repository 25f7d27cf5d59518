"""What the broker itself answers, at the address ``bus``: its state, its dead letters; and what a tap shows."""

from __future__ import annotations

import msgspec

from nerv.bus.vocabulary import VOCABULARY, Command, Message, Role

BUS_NAME = "bus"


class PeerView(msgspec.Struct, frozen=True, kw_only=True):
    """One connected peer. ``credit``: commands it takes now; ``waiting``: commands that wait for it."""

    name: str
    incarnation: str
    kind: str
    software: str
    since: float
    silent: float
    credit: int
    waiting: int
    backlog: int


@VOCABULARY.reply("bus.view")
class BusView(Message, frozen=True, kw_only=True):
    """The broker's state. ``absent``: names that commands wait for though nobody holds them."""

    incarnation: str
    peers: tuple[PeerView, ...]
    absent: dict[str, int]
    totals: dict[str, int]


@VOCABULARY.command("bus.status", target=BUS_NAME, role=Role.VIEWER)
class BusStatus(Command[BusView], frozen=True, kw_only=True):
    """Ask for the peers, the queues and the totals of the broker."""


class DeadLetterView(msgspec.Struct, frozen=True, kw_only=True):
    """A command that was not delivered. ``payload`` is JSON, in `deadletter.show` only."""

    number: int
    at: float
    reason: str
    id: str
    type: str
    source: str
    target: str
    correlation: str
    payload_bytes: int
    payload: str | None = None


@VOCABULARY.reply("deadletter.page")
class DeadLetterPage(Message, frozen=True, kw_only=True):
    """Dead letters, oldest first; ``dropped``: how many older ones the bound has pushed out."""

    letters: tuple[DeadLetterView, ...]
    dropped: int = 0


@VOCABULARY.reply("deadletter.counted")
class DeadLettersCounted(Message, frozen=True, kw_only=True):
    """How many letters it was done to."""

    count: int


@VOCABULARY.command("deadletter.list", target=BUS_NAME, role=Role.OPERATOR)
class DeadLetterList(Command[DeadLetterPage], frozen=True, kw_only=True):
    """List up to ``limit`` dead letters with a number above ``after``."""

    after: int = 0
    limit: int = 100


@VOCABULARY.command("deadletter.show", target=BUS_NAME, role=Role.OPERATOR)
class DeadLetterShow(Command[DeadLetterPage], frozen=True, kw_only=True):
    """Show one with its payload."""

    number: int


@VOCABULARY.command("deadletter.resend", target=BUS_NAME, role=Role.OPERATOR)
class DeadLetterResend(Command[DeadLettersCounted], frozen=True, kw_only=True):
    """Send one (or all) again in the name of its sender, with a new deadline in ``seconds``; it is no letter then.

    Its sender has given up on it: the answer is nobody's, the work is done all the same. One that is ``expired`` may
    have been a resend of a command that its target has in work: it may be done twice then.
    """

    number: int | None = None
    seconds: float = 30.0


@VOCABULARY.command("deadletter.drop", target=BUS_NAME, role=Role.OPERATOR)
class DeadLetterDrop(Command[DeadLettersCounted], frozen=True, kw_only=True):
    """Forget one, or all."""

    number: int | None = None


@VOCABULARY.event("bus.tapped", role=Role.OPERATOR, topic="tap")
class Tapped(Message, frozen=True, kw_only=True):
    """The header of an envelope that the broker routed. Topic ``tap.<type>``; only while somebody subscribes."""

    id: str
    kind: str
    type: str
    source: str
    target: str
    correlation: str
    causation: str
    attempt: int
    sent_at: float
    payload_bytes: int
