"""Every command sent has an outcome, and no command is handled twice by one life: over a faulty wire, by seeds."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from nerv.bus.envelope import Envelope, Kind
from nerv.bus.limits import Limits
from nerv.bus.memory import Faults, MemoryBus, MemoryPeer, Outcome
from nerv.errors import ErrorCode
from nerv.messages import ActorRestart, Ok

DEADLINE = 20.0
SEEDS = int(os.environ.get("NERV_SEEDS", "2000"))
"""How many faulty networks are tried; `make chaos` tries ten times as many."""


def answer_ok(_: Envelope) -> Ok:
    return Ok()


def network(**options: object) -> tuple[MemoryBus, MemoryPeer, MemoryPeer]:
    bus = MemoryBus(**options)  # type: ignore[arg-type]
    return bus, bus.add("asker"), bus.add("worker", answer_ok)


def ask(asker: MemoryPeer, number: int = 0, timeout: float = DEADLINE) -> Outcome:
    return asker.request("worker", ActorRestart(name=f"n{number}"), timeout=timeout)


def handled_twice(peer: MemoryPeer) -> list[str]:
    """Ids that one life of the peer handled more than once; tests below keep one life unless they say so."""
    ids = [command.id for command in peer.handled]
    return [one for one in set(ids) if ids.count(one) > 1]


def test_a_request_is_answered() -> None:
    bus, asker, worker = network()
    outcome = ask(asker)
    assert bus.run_until(lambda: outcome.done, 1.0)
    assert outcome.answer is not None
    assert outcome.answer.kind is Kind.REPLY
    assert [command.correlation for command in worker.handled] == [outcome.answer.correlation]


def test_requests_wait_for_a_broker_that_restarts() -> None:
    bus, asker, worker = network()
    bus.run(0.1)
    bus.stop_broker()
    outcomes = [ask(asker, number) for number in range(5)]
    bus.run(1.0)
    bus.start_broker()
    assert bus.run_until(lambda: all(outcome.answer for outcome in outcomes), 3.0)
    assert not handled_twice(worker)


def test_an_answer_lost_with_the_broker_is_repeated_from_the_window_not_worked_again() -> None:
    bus, asker, worker = network()
    worker.work = 0.3
    bus.run(0.1)
    outcome = ask(asker)
    assert bus.run_until(lambda: bool(worker.handled), 1.0)
    bus.stop_broker()
    bus.run(0.5)
    bus.start_broker()
    assert bus.run_until(lambda: outcome.answer is not None, 3.0)
    assert len(worker.handled) == 1


def test_an_acknowledged_command_goes_to_the_next_life_of_its_receiver() -> None:
    bus, asker, worker = network()
    worker.work = 60.0
    bus.run(0.1)
    outcome = ask(asker)
    assert bus.run_until(lambda: outcome.pending.acked, 1.0)
    bus.kill("worker")
    bus.run(0.2)
    worker.work = 0.0
    bus.revive("worker")
    assert bus.run_until(lambda: outcome.answer is not None, 1.0)
    assert len(worker.handled) == 2


def test_nobody_of_that_name_is_undeliverable_well_before_the_deadline() -> None:
    bus = MemoryBus()
    asker = bus.add("asker")
    outcome = asker.request("nobody", ActorRestart(name="x"), timeout=30.0)
    assert bus.run_until(lambda: outcome.done, 5.0)
    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.UNDELIVERABLE
    assert [letter.envelope.target for letter in bus.broker.dead_letters] == ["nobody"]  # type: ignore[union-attr]


def test_a_dead_receiver_known_before_is_waited_for_and_then_given_up() -> None:
    bus, asker, _ = network()
    bus.run(0.1)
    bus.kill("worker")
    bus.run(7.0)
    outcome = ask(asker, timeout=60.0)
    bus.run(bus.limits.hold_known - 1.0)
    assert not outcome.done
    assert bus.run_until(lambda: outcome.done, 3.0)
    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.UNDELIVERABLE


def test_without_a_broker_the_deadline_says_disconnected() -> None:
    bus, asker, _ = network()
    bus.stop_broker()
    outcome = ask(asker, timeout=2.0)
    assert bus.run_until(lambda: outcome.done, 2.1)
    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.DISCONNECTED


def test_a_worker_that_never_answers_runs_into_the_deadline_which_says_that_it_accepted() -> None:
    bus, asker, worker = network()
    worker.work = 100.0
    outcome = ask(asker, timeout=3.0)
    assert bus.run_until(lambda: outcome.done, 3.1)
    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.DEADLINE
    assert "accepted it" in outcome.error.reason


def test_a_younger_incarnation_fences_the_older_one() -> None:
    bus, asker, worker = network()
    bus.run(0.1)
    old = worker.core
    bus.revive("worker")
    bus.run(0.1)
    old_identity = b"worker@1"
    sent: list[bytes] = []
    assert bus.broker is not None
    bus.broker.receive(old_identity, b"", next(iter(_hello_of(old)))[1], bus.clock.monotonic())
    for identity, source, bundle in bus.broker.outgoing():
        if identity == old_identity:
            old.receive(source, bundle, bus.clock.monotonic())
            sent.append(bundle)
    assert sent
    assert old.fenced is not None
    assert old.fenced.code is ErrorCode.FENCED
    outcome = ask(asker)
    assert bus.run_until(lambda: outcome.answer is not None, 1.0)


def _hello_of(core: object) -> list[tuple[bytes, bytes]]:
    from nerv.bus.peer_core import PeerCore

    assert isinstance(core, PeerCore)
    core.link_up(0.0)
    return list(core.outgoing(0.0))


def test_beyond_the_window_commands_wait_at_the_broker_and_beyond_the_bound_the_sender_is_told_busy() -> None:
    bus = MemoryBus(limits=Limits(queue_envelopes=10))
    asker = bus.add("asker")
    worker = bus.add("worker", answer_ok, window=2, work=50.0)
    bus.run(0.1)
    outcomes = [ask(asker, number, timeout=5.0) for number in range(20)]
    bus.run(0.3)
    assert len(worker.handled) == 2
    assert bus.broker is not None
    assert bus.broker.counts().waiting == 10
    busy = [outcome for outcome in outcomes if outcome.pending.busy is not None]
    assert len(busy) == 8
    assert bus.run_until(lambda: all(outcome.done for outcome in outcomes), 6.0)
    assert {outcome.error.code for outcome in busy if outcome.error} == {ErrorCode.BUSY}


def test_busy_is_over_as_soon_as_the_receiver_works_again() -> None:
    bus = MemoryBus(limits=Limits(queue_envelopes=4))
    asker = bus.add("asker")
    worker = bus.add("worker", answer_ok, window=1, work=0.2)
    bus.run(0.1)
    outcomes = [ask(asker, number) for number in range(20)]
    assert bus.run_until(lambda: all(outcome.answer for outcome in outcomes), DEADLINE)
    assert not handled_twice(worker)


def test_a_stopped_receiver_slows_nobody_else() -> None:
    bus, asker, worker = network()
    other = bus.add("other", answer_ok)
    bus.run(0.1)
    bus.pause("worker")
    stuck = [ask(asker, number) for number in range(1000)]
    outcomes = [asker.request("other", ActorRestart(name="x")) for _ in range(100)]
    assert bus.run_until(lambda: all(outcome.answer for outcome in outcomes), 0.1)
    assert len(other.handled) == 100
    bus.resume("worker")
    assert bus.run_until(lambda: all(outcome.answer for outcome in stuck), DEADLINE)
    assert not handled_twice(worker)


PROBABILITY = st.sampled_from([0.0, 0.05, 0.2, 0.4])
TROUBLE = st.lists(
    st.tuples(
        st.sampled_from(["broker", "cut asker", "cut worker", "kill worker", "pause worker"]),
        st.floats(0.0, 2.0),
        st.floats(0.05, 2.0),
    ),
    max_size=4,
)


def cause(bus: MemoryBus, what: str, pause: float) -> None:
    verb, _, name = what.partition(" ")
    if verb == "broker":
        bus.stop_broker()
        bus.run(pause)
        bus.start_broker()
    elif verb == "cut":
        bus.cut(name)
        bus.run(pause)
        bus.heal(name)
    elif verb == "kill":
        bus.kill(name)
        bus.run(pause)
        bus.revive(name)
    else:
        bus.pause(name)
        bus.run(pause)
        bus.resume(name)


@settings(max_examples=SEEDS, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    faults=st.builds(
        Faults,
        drop=PROBABILITY,
        duplicate=PROBABILITY,
        delayed=PROBABILITY,
        delay=st.sampled_from([0.01, 0.3, 2.0]),
    ),
    trouble=TROUBLE,
    window=st.sampled_from([1, 3, 64]),
    count=st.integers(1, 40),
)
def test_whatever_happens_on_the_way_every_command_is_answered_and_none_handled_twice_in_one_life(
    seed: int, faults: Faults, trouble: list[tuple[str, float, float]], window: int, count: int
) -> None:
    patient = Limits(hold_known=60.0, hold_unknown=60.0)  # else a long trouble is rightly "undeliverable"
    bus = MemoryBus(seed=seed, faults=faults, limits=patient)
    asker = bus.add("asker")
    lives: list[tuple[int, str]] = []

    def work(command: Envelope) -> Ok:
        lives.append((worker.lives, command.id))
        return Ok()

    worker = bus.add("worker", work, window=window, work=0.01)
    outcomes = [ask(asker, number, timeout=120.0) for number in range(count)]
    for what, before, pause in trouble:
        bus.run(before)
        check_credit(bus)
        cause(bus, what, pause)
    bus.faults = Faults()
    done = bus.run_until(lambda: all(outcome.done for outcome in outcomes), 121.0)
    note(f"{asker.core.counts()} {worker.core.counts()} {bus.broker and bus.broker.counts()}")
    assert done
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    assert len(lives) == len(set(lives)), "one life handled a command twice"
    check_credit(bus)


@settings(max_examples=SEEDS, deadline=None)
@given(seed=st.integers(0, 2**32), drop=st.sampled_from([0.3, 0.9, 1.0]), timeout=st.floats(0.05, 10.0))
def test_every_request_is_resolved_by_its_deadline_even_on_a_dead_wire(
    seed: int, drop: float, timeout: float
) -> None:
    bus = MemoryBus(seed=seed, faults=Faults(drop=drop))
    asker = bus.add("asker")
    bus.add("worker", answer_ok)
    outcomes = [ask(asker, number, timeout=timeout) for number in range(10)]
    assert bus.run_until(lambda: all(outcome.done for outcome in outcomes), timeout + 0.01)


def check_credit(bus: MemoryBus) -> None:
    assert bus.broker is not None
    for link in bus.broker.links():
        assert link.allowance.available >= 0
