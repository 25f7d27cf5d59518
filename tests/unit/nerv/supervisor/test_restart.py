"""The rules of restarting: a matrix like OTP's supervisor_SUITE, and properties of back-off and intensity."""

from __future__ import annotations

import signal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerv.supervisor.restart import (
    Exit,
    ExitKind,
    History,
    Outcome,
    Policy,
    RestartType,
    Strategy,
    affected,
    backoff,
    classify,
    decide,
    wants_restart,
)

POLICY = Policy()
FAILURES = [ExitKind.FAILED, ExitKind.SIGNALLED, ExitKind.NOT_READY, ExitKind.HUNG, ExitKind.MEMORY]


def one(kind: ExitKind) -> Exit:
    return Exit(kind=kind, text=str(kind))


def outcome(restart: RestartType, kind: ExitKind) -> Outcome:
    decision, _ = decide(restart, one(kind), History(), POLICY, now=0.0, ready_at=None, chance=0.5)
    return decision.outcome


EXPECTED = {
    **{
        (RestartType.PERMANENT, kind): Outcome.RESTART for kind in (*FAILURES, ExitKind.CLEAN, ExitKind.ASKED)
    },
    **{(RestartType.TRANSIENT, kind): Outcome.RESTART for kind in (*FAILURES, ExitKind.ASKED)},
    (RestartType.TRANSIENT, ExitKind.CLEAN): Outcome.FINISH,
    **{(RestartType.TEMPORARY, kind): Outcome.FINISH for kind in (*FAILURES, ExitKind.CLEAN, ExitKind.ASKED)},
    **{(restart, ExitKind.REFUSED): Outcome.REFUSE for restart in RestartType},
}


@pytest.mark.parametrize(("restart", "kind"), list(product(RestartType, ExitKind)))
def test_what_follows_from_each_end_of_each_restart_type(restart: RestartType, kind: ExitKind) -> None:
    assert outcome(restart, kind) is EXPECTED[restart, kind]


@pytest.mark.parametrize(
    ("strategy", "failed", "expected"),
    [
        (Strategy.ONE_FOR_ONE, "a", ()),
        (Strategy.ONE_FOR_ONE, "c", ()),
        (Strategy.REST_FOR_ONE, "a", ("b", "c")),
        (Strategy.REST_FOR_ONE, "b", ("c",)),
        (Strategy.REST_FOR_ONE, "c", ()),
        (Strategy.ONE_FOR_ALL, "a", ("b", "c")),
        (Strategy.ONE_FOR_ALL, "b", ("a", "c")),
    ],
)
def test_which_siblings_go_with_a_dead_actor(
    strategy: Strategy, failed: str, expected: tuple[str, ...]
) -> None:
    assert affected(strategy, ("a", "b", "c"), failed) == expected


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (0, ExitKind.CLEAN, "exit 0"),
        (1, ExitKind.FAILED, "exit 1"),
        (78, ExitKind.REFUSED, "exit 78 (wrong configuration)"),
        (-signal.SIGKILL, ExitKind.SIGNALLED, "signal 9 (SIGKILL)"),
        (-40, ExitKind.SIGNALLED, "signal 40 (real-time)"),
    ],
)
def test_an_end_is_told_by_its_status(code: int, kind: ExitKind, text: str) -> None:
    assert classify(code) == Exit(kind=kind, text=text)


def test_the_first_restart_comes_at_once_and_the_next_wait_longer_and_longer() -> None:
    longest = [backoff(failures, POLICY, chance=1.0) for failures in range(1, 10)]
    assert longest == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


@given(failures=st.integers(1, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_back_off_is_jittered_over_its_whole_range_and_bounded(failures: int, chance: float) -> None:
    delay = backoff(failures, POLICY, chance)
    assert 0 <= delay <= POLICY.backoff_max
    assert delay == backoff(failures, POLICY, 1.0) * chance


def fail_at(times: list[float], policy: Policy = POLICY, group: tuple[float, ...] = ()) -> list[Outcome]:
    history, outcomes = History(), []
    for now in times:
        decision, history = decide(
            RestartType.PERMANENT,
            one(ExitKind.FAILED),
            history,
            policy,
            now=now,
            ready_at=now,
            group_recent=group,
            chance=0.5,
        )
        outcomes.append(decision.outcome)
    return outcomes


def test_more_failures_than_the_limit_within_the_window_park_the_child() -> None:
    assert fail_at([0, 1, 2, 3, 4, 5]) == [Outcome.RESTART] * 5 + [Outcome.PARK]


def test_failures_outside_the_window_do_not_count() -> None:
    assert fail_at([0, 10, 20, 30, 40, 50, 60, 70]) == [Outcome.RESTART] * 8


@given(
    gaps=st.lists(st.floats(0.01, 60), min_size=1, max_size=60),
    limit=st.integers(1, 8),
    window=st.floats(1, 120),
)
def test_a_child_is_parked_exactly_from_the_first_excess_on(
    gaps: list[float], limit: int, window: float
) -> None:
    times = [sum(gaps[: count + 1]) for count in range(len(gaps))]
    outcomes = fail_at(times, Policy(limit=limit, window=window))
    excess = [
        place
        for place, now in enumerate(times)
        if sum(1 for at in times[: place + 1] if now - at < window) > limit
    ]
    first = excess[0] if excess else len(times)
    assert outcomes == [Outcome.RESTART] * first + [Outcome.PARK] * (len(times) - first)


def test_a_group_that_fails_too_often_parks_the_child_that_fails_next() -> None:
    busy = tuple(float(at) for at in range(POLICY.group_limit))
    assert fail_at([float(POLICY.group_limit)], group=busy) == [Outcome.PARK]
    assert fail_at([float(POLICY.group_limit)], group=busy[1:]) == [Outcome.RESTART]


def test_a_healthy_spell_forgives_and_a_short_one_does_not() -> None:
    history = History(failures=7, recent=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0), parked=True)

    def end(lived: float) -> tuple[Outcome, float]:
        decision, _ = decide(
            RestartType.PERMANENT,
            one(ExitKind.FAILED),
            history,
            POLICY,
            now=1000.0,
            ready_at=1000.0 - lived,
            chance=0.5,
        )
        return decision.outcome, decision.delay

    assert end(POLICY.healthy) == (Outcome.RESTART, 0.0)
    assert end(POLICY.healthy - 0.1)[0] is Outcome.PARK


@given(chance=st.floats(0, 1, exclude_max=True))
def test_a_parked_child_is_tried_again_slowly_but_surely(chance: float) -> None:
    decision, history = decide(
        RestartType.PERMANENT,
        one(ExitKind.FAILED),
        History(failures=9, parked=True),
        POLICY,
        now=0.0,
        ready_at=None,
        chance=chance,
    )
    assert decision.outcome is Outcome.PARK
    assert POLICY.parked / 2 <= decision.delay <= POLICY.parked
    assert history.parked


@given(count=st.integers(0, 500))
def test_the_memory_of_a_child_is_bounded(count: int) -> None:
    history = History()
    for at in range(count):
        _, history = decide(
            RestartType.PERMANENT,
            one(ExitKind.FAILED),
            history,
            POLICY,
            now=at / 1000,
            ready_at=None,
            chance=0.0,
        )
    assert len(history.recent) <= POLICY.limit + 1


def test_being_stopped_on_purpose_is_no_failure() -> None:
    before = History(failures=3, recent=(1.0,))
    decision, after = decide(
        RestartType.PERMANENT, one(ExitKind.ASKED), before, POLICY, now=2.0, ready_at=None, chance=0.9
    )
    assert (decision.delay, after) == (0.0, before)


def test_a_temporary_actor_that_is_stopped_with_its_siblings_stays_down() -> None:
    assert not wants_restart(RestartType.TEMPORARY, ExitKind.ASKED)
