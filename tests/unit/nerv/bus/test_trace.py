"""W3C trace context: one trace over all hops, a span of its own for each."""

from __future__ import annotations

import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from nerv.bus.control import answer_requests
from nerv.bus.envelope import Envelope, EnvelopeId, IdSource, Incarnation, Kind
from nerv.bus.memory import Answer, MemoryBus
from nerv.bus.messages import BUS_NAME
from nerv.bus.trace import TraceSource, trace_id
from nerv.messages import ActorRestart, Ok
from tests.unit.nerv.bus.hand import Hand

TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")


def parts(traceparent: str) -> tuple[str, str]:
    found = TRACEPARENT.fullmatch(traceparent)
    assert found is not None, traceparent
    return found[1], found[2]


def test_a_request_has_one_trace_through_client_queue_kernel_and_driver() -> None:
    bus = MemoryBus()

    def hand_on(name: str, target: str) -> None:
        def handle(_: Envelope) -> Answer:
            bus.peers[name].request(target, ActorRestart(name="next"))
            return Ok()

        bus.add(name, handle)

    bus.add("driver-1", lambda _: Ok())
    hand_on("kernel", "driver-1")
    hand_on("queue", "kernel")
    client = bus.add("client")
    bus.run(1.0)
    outcome = client.request("queue", ActorRestart(name="first"))
    assert bus.run_until(lambda: bool(bus.peers["driver-1"].handled), 5.0)
    assert bus.run_until(lambda: outcome.done, 5.0)

    hops = [bus.peers[name].handled[0] for name in ("queue", "kernel", "driver-1")]
    traces = {parts(hop.trace)[0] for hop in hops}
    spans = {parts(hop.trace)[1] for hop in hops}
    assert traces == {trace_id(hops[0].id)}
    assert len(spans) == 3
    assert {hop.correlation for hop in hops} == {hops[0].id}
    assert [hop.causation for hop in hops] == ["", hops[0].id, hops[1].id]
    assert outcome.answer is not None
    assert outcome.answer.trace == hops[0].trace


def test_what_the_broker_answers_is_in_the_trace_of_its_command() -> None:
    hand = Hand(hold_unknown=1.0)
    hand.greet("asker")
    context = {"correlation": "c-1", "trace": f"00-{'a' * 32}-{'b' * 16}-01"}
    for target, type_name in ((BUS_NAME, "bus.status"), (BUS_NAME, "no.such"), ("nobody", "no.such")):
        command = hand.envelope(Kind.COMMAND, "asker", target, {}, type_name=type_name)
        hand.send(msgspec.structs.replace(command, **context))
    answer_requests(hand.broker, hand.now)
    hand.broker.tick(1.0)
    answers = [one for _, one in hand.take() if one.causation]
    assert {one.kind for one in answers} == {Kind.REPLY, Kind.ERROR, Kind.NACK}
    assert [{"correlation": one.correlation, "trace": one.trace} for one in answers] == [context] * 3


def test_two_requests_have_two_traces() -> None:
    bus = MemoryBus()
    worker = bus.add("worker", lambda _: Ok())
    client = bus.add("client")
    bus.run(1.0)
    outcomes = [client.request("worker", ActorRestart(name="x")) for _ in range(2)]
    assert bus.run_until(lambda: all(outcome.done for outcome in outcomes), 5.0)
    assert len({parts(command.trace)[0] for command in worker.handled}) == 2


def test_work_taken_up_later_under_the_same_correlation_is_in_the_same_trace() -> None:
    correlation = EnvelopeId("5f3a9c01d2e4-22")
    first = TraceSource(Incarnation("5f3a9c01d2e4")).begin(correlation, correlation)
    later = TraceSource(Incarnation("77aa00bb11cc")).begin(EnvelopeId("77aa00bb11cc-9"), correlation)
    assert parts(first)[0] == parts(later)[0] == trace_id(correlation) == "5f3a9c01d2e4" + "22".zfill(20)
    assert parts(first)[1] != parts(later)[1]


@given(st.text(), st.text(min_size=1), st.integers(min_value=1, max_value=10**18))
def test_whatever_came_before_what_goes_out_is_a_traceparent(
    parent: str, correlation: str, number: int
) -> None:
    source = TraceSource(Incarnation("5f3a9c01d2e4"))
    envelope = EnvelopeId(f"5f3a9c01d2e4-{number}")
    if len(parent) != 55:
        assert parts(source.follow(parent, envelope, correlation))[0] == trace_id(correlation)
    assert parts(source.begin(envelope, envelope))[0] == trace_id(envelope)


def test_a_trace_from_outside_is_handed_on() -> None:
    brought = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
    source = TraceSource(Incarnation("5f3a9c01d2e4"))
    ids = IdSource(Incarnation("5f3a9c01d2e4"))
    first, second = (source.follow(brought, ids.next(), "any") for _ in range(2))
    assert parts(first)[0] == parts(second)[0] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert first.endswith("-00")
    assert len({brought, first, second}) == 3
