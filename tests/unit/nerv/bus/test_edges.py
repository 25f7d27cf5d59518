"""Edges of the bus that once were wrong: hostile bytes, doubled greetings, letters nobody can have, leaks."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Callable

import msgspec
import pytest

from nerv.bus import bundle as bundles
from nerv.bus.control import answer_requests
from nerv.bus.envelope import BROKER, Envelope, Incarnation, Kind
from nerv.bus.limits import Limits
from nerv.bus.link import Welcome
from nerv.bus.memory import MemoryBus
from nerv.bus.messages import BUS_NAME, DeadLetterResend
from nerv.bus.peer_core import PeerCore
from nerv.bus.vocabulary import VOCABULARY
from nerv.errors import ErrorCode, ErrorInfo, NervError
from nerv.messages import ActorRestart, Ok
from tests.unit.nerv.bus.hand import Hand, error_in

NIL = msgspec.Raw(b"\xc0")


def welcomed(limits: Limits | None = None, *, broker: Limits | None = None, window: int = 8) -> PeerCore:
    peer = PeerCore(
        name="peer", incarnation=Incarnation("p"), started_at=1.0, window=window, limits=limits or Limits()
    )
    peer.link_up(0.0)
    peer.outgoing(0.0)
    peer.receive(b"", bundles.encode([welcome(broker or Limits())]), 0.0)
    return peer


def welcome(limits: Limits) -> Envelope:
    payload = Welcome(
        incarnation="b",
        tick=limits.tick,
        silent_ticks=limits.silent_ticks,
        message_bytes=limits.message_bytes,
        bundle_bytes=limits.bundle_bytes,
        bundle_envelopes=limits.bundle_envelopes,
    )
    return Hand().envelope(Kind.WELCOME, "", "peer", payload, type_name="link.welcome")


@pytest.mark.parametrize("read", [bundles.decode, lambda data: list(bundles.decode_each(data))])
def test_a_text_that_is_no_utf_8_is_a_bad_bundle(read: Callable[[bytes], object]) -> None:
    with contextlib.suppress(bundles.BadBundle):
        read(b"\x91\x96\x01\xa1\x80\x01\xa1t\xa1s\xa1t")


def test_a_payload_that_is_no_utf_8_is_a_bad_payload() -> None:
    with pytest.raises(NervError) as refused:
        VOCABULARY.decode("actor.restart", b"\x81\xa4name\xa1\x80")
    assert refused.value.code is ErrorCode.BAD_PAYLOAD


def test_a_text_that_is_no_utf_8_does_not_stop_the_broker_in_the_middle_of_its_work() -> None:
    hand = Hand()
    hand.greet("asker")
    command = hand.envelope(Kind.COMMAND, "asker", BUS_NAME, type_name="deadletter.list")
    hand.send(msgspec.structs.replace(command, payload=msgspec.Raw(b"\x81\xa1\x80\x01")))
    answer_requests(hand.broker, 0.0)
    assert error_in(hand.take()[0][1]).code is ErrorCode.BAD_PAYLOAD


def test_a_bundle_of_far_too_many_answers_is_refused() -> None:
    hand = Hand(bundle_envelopes=2)
    hand.greet("asker")
    hand.greet("worker")
    hand.send(*(hand.envelope(Kind.REPLY, "worker", "asker") for _ in range(9)))
    assert [to for to, _ in hand.take()] == [b"worker"]  # an ERROR, and nothing to "asker"


def test_a_bad_bundle_costs_a_few_times_its_size() -> None:
    peer, hand = welcomed(), Hand()
    first = bytes(msgspec.msgpack.encode(hand.envelope(Kind.REPLY, "other", "peer")))
    data = b"\xdd" + (20_001).to_bytes(4, "big") + first + b"\xc0" * 20_000
    tracemalloc.start()
    try:
        peer.receive(b"other", data, 0.0)
        answered = sum(len(bundle) for _, bundle in peer.outgoing(0.0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answered < 10 * len(data)
    assert peak < 100 * len(data)


@pytest.mark.parametrize(("source", "attempt"), [("other", 1), (BROKER, 7)])
def test_a_nack_of_another_peer_or_for_another_attempt_is_refused(source: str, attempt: int) -> None:
    peer = welcomed()
    pending = peer.request("worker", "t", NIL, now=0.0, timeout=9.0)
    error = ErrorInfo(code=ErrorCode.UNDELIVERABLE, reason="no")
    nack = msgspec.structs.replace(
        Hand().envelope(Kind.NACK, source, "peer", error), causation=pending.envelope.id, attempt=attempt
    )
    peer.receive(source.encode(), bundles.encode([nack]), 0.1)
    assert not pending.done


def test_what_was_accepted_never_ends_as_busy() -> None:
    bus = MemoryBus(limits=Limits(queue_envelopes=2))
    asker, other = bus.add("asker"), bus.add("other")
    bus.add("worker", lambda _: Ok(), window=1, work=100.0)
    bus.run(0.1)
    accepted = asker.request("worker", ActorRestart(name="x"), timeout=5.0)
    bus.run(0.2)
    assert accepted.pending.accepted
    for _ in range(5):
        other.request("worker", ActorRestart(name="y"))
    assert bus.run_until(lambda: accepted.done, 6.0)
    assert accepted.error is not None
    assert accepted.error.code is ErrorCode.DEADLINE


def test_the_backlog_of_a_connection_that_was_replaced_is_forgotten() -> None:
    hand = Hand()
    hand.greet("worker", identity=b"first", credit=10)
    hand.greet("asker")
    hand.send(hand.envelope(Kind.COMMAND, "asker", "worker"))
    hand.refuse_all_to(b"first")
    hand.greet("worker", identity=b"second", credit=10)
    assert not [link for link in hand.broker.backlogged if link.identity == b"first"]


def test_two_greetings_do_not_double_the_window() -> None:
    hand = Hand()
    hand.greet("asker")
    hand.send(*(hand.envelope(Kind.COMMAND, "asker", "peer") for _ in range(3)))
    peer = PeerCore(name="peer", incarnation=Incarnation("p"), started_at=1.0, window=1)
    peer.link_up(0.0)
    greetings = peer.outgoing(0.0)
    peer.tick(0.3)
    for target, bundle in (*greetings, *peer.outgoing(0.3)):
        hand.broker.receive(b"peer", target, bundle, 0.5)
    for _, source, bundle in hand.broker.outgoing():
        peer.receive(source, bundle, 0.5)
    assert len(peer.take_deliveries()) == 1


def test_a_letter_that_cannot_be_sent_again_stays_or_is_told() -> None:
    hand = Hand()
    hand.greet("client")
    hand.send(hand.envelope(Kind.COMMAND, "client", "No Name"))
    hand.take()
    command = hand.envelope(
        Kind.COMMAND, "client", BUS_NAME, DeadLetterResend(number=1), type_name="deadletter.resend"
    )
    hand.send(command)
    answer_requests(hand.broker, 0.0)
    assert len(hand.broker.dead_letters) == 1 or hand.broker.counts().waiting == 1


def test_senders_that_are_gone_are_forgotten() -> None:
    bus = MemoryBus()
    bus.add("worker", lambda _: Ok())
    for number in range(50):
        client = bus.add(f"client{number}")
        outcome = client.request("worker", ActorRestart(name="x"))
        assert bus.run_until(lambda one=outcome: one.done, 1.0)  # type: ignore[misc]
        bus.kill(client.name)
    bus.run(60.0)
    assert bus.broker is not None
    assert bus.broker.counts().peers == 1
    assert sum(len(box.senders) for box in bus.broker.boxes()) == 0


def test_what_waited_for_the_link_is_measured_by_the_brokers_limits() -> None:
    peer = PeerCore(name="peer", incarnation=Incarnation("p"), started_at=1.0)
    peer.link_up(0.0)
    payload = msgspec.Raw(msgspec.msgpack.encode("x" * 5000))
    pending = peer.request("worker", "t", payload, now=0.0, timeout=9.0)
    peer.outgoing(0.0)
    peer.receive(b"", bundles.encode([welcome(Limits(message_bytes=1000))]), 0.0)
    peer.outgoing(0.0)
    assert pending.error is not None
    assert pending.error.code is ErrorCode.TOO_LARGE


def test_a_tap_shows_what_the_broker_answers() -> None:
    hand = Hand(queue_envelopes=1)
    hand.greet("asker")
    hand.broker.tapping = True
    hand.send(*(hand.envelope(Kind.COMMAND, "asker", "worker") for _ in range(2)))
    assert len(hand.nacked()) == 1
    assert len(hand.broker.take_tapped()) == 2


def test_a_paused_peer_reads_in_order() -> None:
    bus = MemoryBus()
    asker, worker = bus.add("asker"), bus.add("worker", lambda _: Ok())
    bus.run(0.1)
    bus.pause("worker")
    sent = []
    for _ in range(10):
        sent.append(asker.request("worker", ActorRestart(name="x")).pending.envelope.id)
        bus.run(0.013)
    bus.resume("worker")
    bus.run(0.2)
    assert [command.id for command in worker.handled] == sent
