"""Every bound holds, and who goes beyond it is told so by an error of its own."""

from __future__ import annotations

import msgspec
import pytest

from nerv.bus import bundle as bundles
from nerv.bus.deadletters import DeadLetters, DeathReason
from nerv.bus.envelope import Kind
from nerv.bus.limits import DEFAULT_LIMITS, Limits
from nerv.bus.memory import MemoryBus, Outcome
from nerv.errors import ConfigurationError, ErrorCode, ErrorInfo
from nerv.messages import ActorRestart, Ok
from tests.unit.nerv.bus.hand import Hand, error_in


@pytest.mark.parametrize("field", Limits.__struct_fields__)
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_bound_that_is_none_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ConfigurationError) as refused:
        msgspec.structs.replace(DEFAULT_LIMITS, **{field: value}).check()
    assert refused.value.info.field == f"limits.{field}"


def error_of(outcome: Outcome) -> ErrorInfo:
    assert outcome.error is not None
    return outcome.error


def test_a_request_that_is_too_large_is_refused_at_once_and_the_next_one_goes() -> None:
    bus = MemoryBus(limits=Limits(message_bytes=100))
    asker = bus.add("asker")
    worker = bus.add("worker", lambda _: Ok())
    bus.run(0.1)
    large = asker.request("worker", ActorRestart(name="x" * 100))
    assert large.done
    assert (error_of(large).code, error_of(large).field) == (ErrorCode.TOO_LARGE, "payload")
    small = asker.request("worker", ActorRestart(name="x"))
    assert bus.run_until(lambda: small.answer is not None, 1.0)
    assert len(worker.handled) == 1


def test_an_answer_that_is_too_large_becomes_an_error() -> None:
    bus = MemoryBus(limits=Limits(message_bytes=100))
    asker = bus.add("asker")
    bus.add("worker", lambda _: ActorRestart(name="x" * 100))
    outcome = asker.request("worker", ActorRestart(name="x"))
    assert bus.run_until(lambda: outcome.done, 1.0)
    assert (error_of(outcome).code, error_of(outcome).field) == (ErrorCode.TOO_LARGE, "payload")
    assert "the limit is 100" in error_of(outcome).reason


def test_requests_without_an_outcome_are_bounded() -> None:
    bus = MemoryBus(limits=Limits(pending=3))
    asker = bus.add("asker")
    bus.add("worker", lambda _: Ok())
    bus.run(0.1)
    outcomes = [asker.request("worker", ActorRestart(name="x")) for _ in range(4)]
    assert [outcome.done for outcome in outcomes] == [False, False, False, True]
    busy = error_of(outcomes[3])
    assert busy.code is ErrorCode.BUSY
    assert busy.retry_after
    assert bus.run_until(lambda: all(outcome.done for outcome in outcomes), 1.0)
    again = asker.request("worker", ActorRestart(name="x"))
    assert bus.run_until(lambda: again.answer is not None, 1.0)


# -- at the broker, by hand ---------------------------------------------------------------------------------------


def test_a_bundle_that_does_not_fit_the_queue_is_taken_as_far_as_it_does() -> None:
    hand = Hand(queue_envelopes=3)
    hand.greet("asker")
    commands = [hand.envelope(Kind.COMMAND, "asker", "worker") for _ in range(5)]
    hand.send(*commands)
    nacked = hand.nacked()
    assert [command for command, _ in nacked] == [command.id for command in commands[3:]]
    assert {error.code for _, error in nacked} == {ErrorCode.BUSY}
    assert all(error.retry_after == DEFAULT_LIMITS.busy_retry for _, error in nacked)
    assert hand.broker.counts().waiting == 3
    hand.send(*commands[:3])
    assert hand.nacked() == [], "what already waits is no reason to be busy"
    hand.greet("worker", credit=10)
    assert hand.broker.counts().waiting == 0


def test_the_queue_is_bounded_in_bytes_too() -> None:
    hand = Hand(queue_bytes=1000)
    hand.greet("asker")
    for _ in range(20):
        hand.send(hand.envelope(Kind.COMMAND, "asker", "worker", "x" * 200))
    errors = {error.code for _, error in hand.nacked()}
    assert errors == {ErrorCode.BUSY}
    (box,) = [box for box in hand.broker.boxes() if box.name == "worker"]
    assert 0 < box.bytes <= 1000
    hand.send(hand.envelope(Kind.COMMAND, "asker", "other", "x" * 5000))
    assert hand.nacked() == [], "a single one that is larger has to wait somewhere"


def test_names_that_nobody_has_are_bounded() -> None:
    hand = Hand(targets=3)
    hand.greet("asker")
    for number in range(5):
        hand.send(hand.envelope(Kind.COMMAND, "asker", f"nobody-{number}"))
    assert [error.code for _, error in hand.nacked()] == [ErrorCode.UNDELIVERABLE] * 3
    assert len(list(hand.broker.boxes())) == 3
    assert [letter.envelope.target for letter in hand.broker.dead_letters] == [
        "nobody-2",
        "nobody-3",
        "nobody-4",
    ]


def test_a_bundle_of_far_too_many_commands_is_refused_as_a_whole() -> None:
    hand = Hand(bundle_envelopes=2)
    hand.greet("asker")
    hand.greet("worker", credit=100)
    hand.send(*(hand.envelope(Kind.COMMAND, "asker", "worker") for _ in range(9)))
    ((to, refused),) = hand.take()
    assert (to, refused.kind) == (b"asker", Kind.ERROR)
    assert error_in(refused).code is ErrorCode.BAD_ENVELOPE


def test_bundles_are_closed_at_both_bounds() -> None:
    bus = MemoryBus(limits=Limits(bundle_envelopes=4, bundle_bytes=1000))
    asker = bus.add("asker")
    worker = bus.add("worker", lambda _: Ok())
    bus.run(0.1)
    for size in (1, 1, 1, 1, 1, 400, 400, 400, 2000):
        payload = msgspec.Raw(msgspec.msgpack.encode({"name": "x" * size}))
        asker.core.request("worker", "actor.restart", payload, now=bus.clock.monotonic(), timeout=5.0)
    sent = asker.core.outgoing(bus.clock.monotonic())
    counted = [len(bundles.decode(bundle)) for _, bundle in sent]
    assert sum(counted) == 9
    assert max(counted) <= 4
    assert all(len(bundle) <= 1000 or count == 1 for (_, bundle), count in zip(sent, counted, strict=True))
    assert not worker.handled


@pytest.mark.parametrize(
    ("limits", "kept"), [({"backlog_messages": 5}, 5), ({"backlog_bytes": 1100, "backlog_messages": 100}, 2)]
)
def test_what_a_socket_refuses_is_kept_within_bounds_and_concerns_nobody_else(
    limits: dict[str, int], kept: int
) -> None:
    hand = Hand(**limits)
    hand.greet("stopped", credit=100)
    hand.greet("other", credit=100)
    hand.greet("asker")
    for _ in range(10):
        hand.send(hand.envelope(Kind.COMMAND, "asker", "stopped", "x" * 400))
        hand.send(hand.envelope(Kind.COMMAND, "asker", "other", "x" * 400))
        assert hand.refuse_all_to(b"stopped") == 1
    counts = hand.broker.counts()
    assert (counts.backlog, counts.answers_dropped) == (kept, 10 - kept)
    assert [link.name for link in hand.broker.backlogged] == ["stopped"]
    hand.broker.unreachable(b"stopped", 1.0)
    assert hand.broker.counts().backlog == 0
    assert not hand.broker.backlogged


def test_dead_letters_are_bounded_in_number_and_bytes_and_those_pushed_out_are_counted() -> None:
    hand = Hand()
    letters = DeadLetters(max_letters=3, max_bytes=1000)
    for size in (1, 1, 1, 1, 990, 2000):
        letters.add(hand.envelope(Kind.COMMAND, "a", "b", "x" * size), DeathReason.EXPIRED, 1.0)
    assert [letter.number for letter in letters] == [6], "the last one stays, however large"
    assert letters.dropped == 5
    assert letters.take(6) is not None
    assert letters.take(6) is None
    letters.add(hand.envelope(Kind.COMMAND, "a", "b", "x" * 990), DeathReason.EXPIRED, 1.0)
    letters.add(hand.envelope(Kind.COMMAND, "a", "b"), DeathReason.EXPIRED, 1.0)
    assert [letter.number for letter in letters] == [7, 8], "what was taken no longer counts"
