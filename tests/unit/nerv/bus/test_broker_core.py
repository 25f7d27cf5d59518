"""Who is who at the broker: greeting, fencing, silence, leaving; and what a tap sees."""

from __future__ import annotations

import pytest

from nerv.bus.broker_core import Change
from nerv.bus.envelope import BROKER, Kind
from nerv.bus.limits import DEFAULT_LIMITS
from nerv.bus.link import GREET
from nerv.errors import ErrorCode
from tests.unit.nerv.bus.hand import Hand, error_in

SILENCE = DEFAULT_LIMITS.tick * DEFAULT_LIMITS.silent_ticks


def test_the_older_life_is_told_at_once_that_it_is_fenced_and_is_heard_no_more() -> None:
    hand = Hand()
    hand.greet("asker")
    hand.greet("worker", incarnation="old", identity=b"old", credit=10)
    told = hand.greet("worker", incarnation="new", identity=b"new", started_at=2.0, credit=10)
    assert [(to, one.kind) for to, one in told] == [(b"old", Kind.ERROR), (b"new", Kind.WELCOME)]
    assert error_in(told[0][1]).code is ErrorCode.FENCED
    for kind, target in ((Kind.REPLY, "asker"), (Kind.COMMAND, "asker"), (Kind.TICK, "")):
        hand.send(hand.envelope(kind, "worker", target), identity=b"old")
        ((to, again),) = hand.take()
        assert (to, error_in(again).code) == (b"old", ErrorCode.FENCED)
    hand.send(hand.envelope(Kind.COMMAND, "asker", "worker"))
    assert [to for to, _ in hand.take()] == [b"new"]
    assert hand.broker.counts().fenced == 1


def test_an_older_life_that_comes_late_does_not_get_the_name() -> None:
    hand = Hand()
    hand.greet("worker", incarnation="new", identity=b"new", started_at=2.0)
    ((to, refused),) = hand.greet("worker", incarnation="old", identity=b"old", started_at=1.0)
    assert (to, error_in(refused).code) == (b"old", ErrorCode.FENCED)
    assert [link.identity for link in hand.broker.links()] == [b"new"]


def test_the_same_life_may_come_back_over_another_connection() -> None:
    hand = Hand()
    hand.greet("worker", identity=b"first", credit=1)
    ((to, welcome),) = hand.greet("worker", identity=b"second", credit=1)
    assert (to, welcome.kind) == (b"second", Kind.WELCOME)
    assert [link.identity for link in hand.broker.links()] == [b"second"]


@pytest.mark.parametrize(
    ("name", "version", "code"),
    [
        ("worker", 2, ErrorCode.VERSION),
        ("bus", 1, ErrorCode.FORBIDDEN),
        ("No Name", 1, ErrorCode.FORBIDDEN),
        ("x" * 64, 1, ErrorCode.FORBIDDEN),
    ],
)
def test_who_cannot_be_welcome_is_told_why(name: str, version: int, code: ErrorCode) -> None:
    hand = Hand()
    ((to, refused),) = hand.greet(name, version=version, identity=b"guest")
    assert (to, error_in(refused).code, refused.causation) == (b"guest", code, "")
    assert error_in(refused).fix
    assert hand.broker.counts().peers == 0


def test_a_stranger_is_asked_to_greet() -> None:
    hand = Hand()
    hand.send(hand.envelope(Kind.COMMAND, "stranger", "worker"))
    ((to, asked),) = hand.take()
    assert (to, asked.kind, asked.type) == (b"stranger", Kind.HELLO, GREET)
    assert hand.broker.counts().waiting == 0


def test_a_silent_peer_is_let_go_only_after_all_its_ticks() -> None:
    hand = Hand()
    hand.greet("worker")
    hand.broker.take_changes()
    hand.broker.tick(SILENCE)
    assert hand.broker.counts().peers == 1
    hand.now = SILENCE
    hand.send(hand.envelope(Kind.ACK, "worker", "nobody"))  # whatever it sends is a sign of life
    hand.broker.tick(2 * SILENCE)
    assert hand.broker.counts().peers == 1
    hand.broker.tick(2 * SILENCE + DEFAULT_LIMITS.tick)
    assert hand.broker.counts().peers == 0
    (change,) = hand.broker.take_changes()
    assert (change.name, change.up) == ("worker", False)
    assert "silent" in change.reason


def test_a_connection_that_is_gone_frees_the_name_and_what_comes_meanwhile_waits() -> None:
    hand = Hand()
    hand.greet("asker")
    hand.greet("worker", credit=10)
    hand.broker.take_changes()
    hand.broker.unreachable(b"worker", 1.0)
    assert hand.broker.take_changes() == [Change("worker", "1", False, "connection lost")]
    hand.broker.unreachable(b"worker", 1.0)  # a second message to it found the same
    assert hand.broker.take_changes() == []
    hand.send(hand.envelope(Kind.COMMAND, "asker", "worker"))
    assert hand.take() == []
    assert hand.broker.counts().waiting == 1
    told = hand.greet("worker", incarnation="2", started_at=2.0, credit=10)
    assert [(to, one.kind) for to, one in told if to == b"worker"] == [
        (b"worker", Kind.WELCOME),
        (b"worker", Kind.COMMAND),
    ]


def test_nothing_is_kept_for_a_tap_while_nobody_watches() -> None:
    hand = Hand()
    hand.greet("asker")
    hand.greet("worker", credit=10)
    hand.send(hand.envelope(Kind.COMMAND, "asker", "worker"))
    assert hand.broker.take_tapped() == []
    hand.broker.tapping = True
    hand.send(hand.envelope(Kind.COMMAND, "asker", "worker"))
    hand.send(hand.envelope(Kind.REPLY, "worker", "asker"))
    hand.send(hand.envelope(Kind.TICK, "worker", BROKER, {"sent": 0, "limit": 0}))
    assert [(source, target) for source, target, _ in hand.broker.take_tapped()] == [
        (b"asker", b"worker"),
        (b"worker", b"asker"),
    ]
