"""What the broker itself answers: its state, and its dead letters to read, to send again, to drop."""

from __future__ import annotations

import msgspec
import pytest

from nerv.bus.control import answer_requests
from nerv.bus.envelope import Kind
from nerv.bus.messages import (
    BUS_NAME,
    BusStatus,
    BusView,
    DeadLetterDrop,
    DeadLetterList,
    DeadLetterPage,
    DeadLetterResend,
    DeadLettersCounted,
    DeadLetterShow,
)
from nerv.bus.vocabulary import VOCABULARY, Message
from nerv.errors import ErrorCode, ErrorInfo
from nerv.messages import ActorRestart
from tests.unit.nerv.bus.hand import Hand, error_in

HOLD = 2.0


def ask(hand: Hand, message: Message) -> Message | ErrorInfo:
    """What the broker answers to "client"."""
    name = VOCABULARY.of(type(message)).name
    command = hand.envelope(Kind.COMMAND, "client", BUS_NAME, message, type_name=name)
    hand.send(command)
    answer_requests(hand.broker, hand.now)
    ((to, answer),) = [one for one in hand.take() if one[1].kind in (Kind.REPLY, Kind.ERROR)]
    assert (to, answer.source, answer.causation) == (b"client", BUS_NAME, command.id)
    if answer.kind is Kind.ERROR:
        return error_in(answer)
    return VOCABULARY.decode(answer.type, answer.payload)


@pytest.fixture
def hand() -> Hand:
    """Three dead letters: nobody was there to take them."""
    made = Hand(hold_unknown=HOLD)
    made.greet("client")
    for number in range(3):
        made.send(made.envelope(Kind.COMMAND, "client", f"nobody-{number}", {"name": f"n{number}"}))
    made.now = HOLD
    made.broker.tick(made.now)
    assert {error.code for _, error in made.nacked()} == {ErrorCode.UNDELIVERABLE}
    return made


def listed(hand: Hand, **options: int) -> list[int]:
    page = ask(hand, DeadLetterList(**options))
    assert isinstance(page, DeadLetterPage)
    return [letter.number for letter in page.letters]


def test_they_are_listed_a_page_at_a_time_without_their_payloads(hand: Hand) -> None:
    assert listed(hand) == [1, 2, 3]
    assert listed(hand, limit=2) == [1, 2]
    assert listed(hand, after=2) == [3]
    page = ask(hand, DeadLetterList())
    assert isinstance(page, DeadLetterPage)
    first = page.letters[0]
    assert (first.reason, first.source, first.target) == ("undeliverable", "client", "nobody-0")
    assert first.payload is None
    assert first.payload_bytes == len(msgspec.msgpack.encode({"name": "n0"}))


def test_one_is_shown_with_its_payload(hand: Hand) -> None:
    page = ask(hand, DeadLetterShow(number=2))
    assert isinstance(page, DeadLetterPage)
    (letter,) = page.letters
    assert letter.payload is not None
    assert msgspec.json.decode(letter.payload) == {"name": "n1"}


def test_one_is_sent_again_in_the_name_of_its_sender_with_a_new_deadline(hand: Hand) -> None:
    hand.greet("nobody-1", credit=10)
    command = hand.envelope(
        Kind.COMMAND,
        "client",
        BUS_NAME,
        DeadLetterResend(number=2, seconds=5.0),
        type_name="deadletter.resend",
    )
    hand.send(command)
    answer_requests(hand.broker, hand.now)
    sent = dict(hand.take())
    again = sent[b"nobody-1"]
    assert (again.kind, again.source, again.deadline) == (Kind.COMMAND, "client", hand.now + 5.0)
    assert msgspec.msgpack.decode(again.payload) == {"name": "n1"}
    assert sent[b"client"].type == "deadletter.counted"
    assert listed(hand) == [1, 3]


def test_all_are_sent_again_and_who_still_finds_nobody_is_a_letter_again(hand: Hand) -> None:
    assert ask(hand, DeadLetterResend(seconds=60.0)) == DeadLettersCounted(count=3)
    assert listed(hand) == []
    hand.now = 2 * HOLD
    hand.broker.tick(hand.now)
    hand.take()
    assert listed(hand) == [4, 5, 6]


def test_they_are_dropped_one_by_one_or_all(hand: Hand) -> None:
    assert ask(hand, DeadLetterDrop(number=2)) == DeadLettersCounted(count=1)
    assert listed(hand) == [1, 3]
    assert ask(hand, DeadLetterDrop()) == DeadLettersCounted(count=2)
    assert listed(hand) == []


@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        (DeadLetterShow(number=9), ErrorCode.NOT_FOUND, "number"),
        (DeadLetterResend(number=9), ErrorCode.NOT_FOUND, "number"),
        (DeadLetterDrop(number=9), ErrorCode.NOT_FOUND, "number"),
        (DeadLetterResend(seconds=0.0), ErrorCode.INVALID, "seconds"),
        (DeadLetterResend(seconds=float("nan")), ErrorCode.INVALID, "seconds"),
        (ActorRestart(name="x"), ErrorCode.INVALID, "target"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(
    hand: Hand, message: Message, code: ErrorCode, field: str
) -> None:
    error = ask(hand, message)
    assert isinstance(error, ErrorInfo)
    assert (error.code, error.field) == (code, field)
    assert listed(hand) == [1, 2, 3]


def test_the_state_names_who_is_here_and_what_waits_for_whom(hand: Hand) -> None:
    hand.greet("worker", credit=1)
    for target in ("worker", "worker", "absent"):
        hand.send(hand.envelope(Kind.COMMAND, "client", target))
    view = ask(hand, BusStatus())
    assert isinstance(view, BusView)
    assert [(peer.name, peer.credit, peer.waiting) for peer in view.peers] == [
        ("client", 0, 0),
        ("worker", 0, 1),
    ]
    assert view.absent == {"absent": 1}
    assert view.totals["dead_letters"] == 3
