"""Who may start and who may stop, asked of the present state of the tree."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from nerv.messages import ActorState
from nerv.supervisor.order import RUNNING, SATISFIED, View, blockers, holders
from nerv.supervisor.specification import Specification, parse

TEXT = """
[group.bus]
[group.core]
strategy = "{strategy}"
[group.drivers]
after = ["bus"]
[actor.bus]
group = "bus"
run = "json:X"
[actor.store]
group = "core"
run = "json:X"
[actor.queue]
group = "core"
run = "json:X"
[actor.kernel]
group = "core"
run = "json:X"
[actor.driver]
group = "drivers"
run = "json:X"
count = 2
"""
SPECS = {
    strategy: parse(TEXT.format(strategy=strategy), Path("x.toml"))
    for strategy in ("one_for_one", "rest_for_one", "one_for_all")
}
NAMES = [actor.name for actor in SPECS["rest_for_one"].actors]
READY = View(state=ActorState.READY)
DOWN = View(state=ActorState.STOPPED)


def tree(**views: View) -> dict[str, View]:
    return {name: views.get(name.replace("-", "_"), READY) for name in NAMES}


def waits(specification: Specification, name: str, state: dict[str, View]) -> tuple[str, ...]:
    actor = specification.actor(name)
    assert actor is not None
    return blockers(specification, state, actor)


def held(specification: Specification, name: str, state: dict[str, View], *, whole: bool) -> tuple[str, ...]:
    actor = specification.actor(name)
    assert actor is not None
    return holders(specification, state, actor, whole=whole)


REST, ONE, ALL = SPECS["rest_for_one"], SPECS["one_for_one"], SPECS["one_for_all"]


def test_only_the_first_group_may_start_in_an_empty_tree() -> None:
    empty = dict.fromkeys(NAMES, DOWN)
    assert [name for name in NAMES if not waits(REST, name, empty)] == ["bus"]


def test_with_the_bus_ready_the_core_begins_in_order_and_the_drivers_all_at_once() -> None:
    state = dict.fromkeys(NAMES, DOWN) | {"bus": READY}
    down = NAMES[1:]
    assert [name for name in down if not waits(REST, name, state)] == ["store", "driver-1", "driver-2"]
    assert [name for name in down if not waits(ONE, name, state)] == down


def test_an_actor_that_finished_as_it_may_holds_nobody() -> None:
    state = tree(store=View(state=ActorState.FINISHED), queue=DOWN)
    assert waits(REST, "queue", state) == ()


def test_a_dead_store_waits_until_those_that_go_with_it_are_down() -> None:
    leaving = View(state=ActorState.STOPPING, leaving=True)
    state = tree(store=View(state=ActorState.BACKOFF), queue=leaving, kernel=leaving)
    assert waits(REST, "store", state) == ("queue", "kernel")
    assert held(REST, "queue", state, whole=False) == ("kernel",)
    assert held(REST, "kernel", state, whole=False) == ()


def test_a_dead_kernel_waits_for_nobody() -> None:
    assert waits(REST, "kernel", tree(kernel=View(state=ActorState.BACKOFF))) == ()


def test_one_for_all_waits_for_earlier_siblings_too() -> None:
    leaving = View(state=ActorState.STOPPING, leaving=True)
    assert waits(ALL, "kernel", tree(kernel=DOWN, store=leaving)) == ("store",)


def test_the_whole_tree_stops_in_reverse_and_drivers_side_by_side() -> None:
    state = {name: View(state=ActorState.READY, leaving=True) for name in NAMES}
    stopped: list[set[str]] = []
    while any(view.running for view in state.values()):
        now = {name for name in NAMES if state[name].running and not held(REST, name, state, whole=True)}
        stopped.append(now)
        state |= dict.fromkeys(now, DOWN)
    assert stopped == [{"driver-1", "driver-2"}, {"kernel"}, {"queue"}, {"store"}, {"bus"}]


def test_a_single_driver_stops_without_waiting_for_its_siblings() -> None:
    state = tree(driver_1=View(state=ActorState.READY, leaving=True))
    assert held(REST, "driver-1", state, whole=False) == ()


VIEWS = st.builds(View, state=st.sampled_from(ActorState), leaving=st.booleans())


@given(state=st.fixed_dictionaries(dict.fromkeys(NAMES, VIEWS)), spec=st.sampled_from(list(SPECS.values())))
def test_something_can_always_stop_so_no_stop_hangs_on_the_order(
    state: dict[str, View], spec: Specification
) -> None:
    running = [name for name in NAMES if state[name].running]
    if running:
        assert any(not held(spec, name, state, whole=True) for name in running)


@given(state=st.fixed_dictionaries(dict.fromkeys(NAMES, VIEWS)), spec=st.sampled_from(list(SPECS.values())))
def test_nobody_waits_for_those_that_come_after_it_unless_they_are_leaving(
    state: dict[str, View], spec: Specification
) -> None:
    for place, name in enumerate(NAMES):
        for other in waits(spec, name, state):
            assert NAMES.index(other) < place or state[other].leaving
            assert state[other].state not in SATISFIED or state[other].leaving


def test_running_and_satisfied_are_about_the_same_states() -> None:
    assert ActorState.READY in RUNNING & SATISFIED
    assert {ActorState.STARTING, ActorState.STOPPING} == RUNNING - SATISFIED
