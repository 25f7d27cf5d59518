from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kernel.breaker import (
    Breaker,
    BreakerPolicy,
    BreakerState,
    admits,
    at,
    dropped,
    failed,
    started,
    succeeded,
)

POLICY = BreakerPolicy(threshold=3, cooldown=10.0, growth=2.0, cooldown_max=35.0, probe_seconds=60.0)


def fail(breaker: Breaker, now: float = 0.0, work: str = "w", blocks: bool = False) -> Breaker:
    return failed(breaker, POLICY, work=work, reason="r", now=now, blocks=blocks)


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(POLICY.threshold):
        breaker = fail(breaker, now)
    assert breaker.state is BreakerState.OPEN
    return breaker


def test_failures_in_a_row_open_it_and_a_success_between_starts_the_count_again() -> None:
    twice = fail(fail(Breaker()))
    assert twice.state is BreakerState.CLOSED
    assert succeeded(twice, work="w") == Breaker()
    assert fail(twice).state is BreakerState.OPEN


def test_trouble_that_blocks_opens_it_at_once() -> None:
    assert fail(Breaker(), blocks=True).state is BreakerState.OPEN


@pytest.mark.parametrize("named", [2.0, 300.0])
def test_a_pause_that_the_page_named_is_the_first_cool_down_and_the_least_of_the_next(named: float) -> None:
    found = failed(Breaker(), POLICY, work="w", reason="r", now=5.0, blocks=True, retry_after=named)
    assert found.until == 5.0 + named
    now = found.until
    probing = started(at(found, POLICY, now=now), POLICY, work="p", now=now)
    again = failed(probing, POLICY, work="p", reason="r", now=now, blocks=True, retry_after=named)
    assert again.until == now + max(20.0, named)


def test_after_the_cool_down_one_probe_is_let_through() -> None:
    breaker = opened()
    assert admits(at(breaker, POLICY, now=9.9)) == 0
    half = at(breaker, POLICY, now=10.0)
    assert (half.state, admits(half)) == (BreakerState.HALF_OPEN, 1)
    probing = started(half, POLICY, work="p", now=10.0)
    assert admits(probing) == 0
    assert succeeded(probing, work="straggler") == probing
    assert fail(probing, 11.0, work="straggler") == probing
    assert succeeded(probing, work="p") == Breaker()


def test_a_failed_probe_cools_longer_each_time_up_to_a_bound() -> None:
    breaker = opened()
    now = 0.0
    spans = []
    for _ in range(4):
        spans.append(breaker.until - now)
        now = breaker.until
        breaker = fail(started(at(breaker, POLICY, now=now), POLICY, work="p", now=now), now, work="p")
    assert spans == [10.0, 20.0, 35.0, 35.0]


def test_a_probe_that_says_nothing_makes_room_for_another() -> None:
    probing = started(at(opened(), POLICY, now=10.0), POLICY, work="p", now=10.0)
    assert admits(dropped(probing, work="other")) == 0
    assert admits(dropped(probing, work="p")) == 1


def test_a_probe_without_a_result_counts_as_failed() -> None:
    probing = started(at(opened(), POLICY, now=10.0), POLICY, work="p", now=10.0)
    late = at(probing, POLICY, now=70.0)
    assert late.state is BreakerState.OPEN
    assert "p" in late.reason


class BreakerLife(RuleBasedStateMachine):
    """Never more than one probe at a time while half-open, and none while open."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.breaker = Breaker()
        self.number = 0
        self.out: list[str] = []

    @rule(seconds=st.floats(0, 50))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.breaker = at(self.breaker, POLICY, now=self.now)

    @rule()
    def start(self) -> None:
        room = admits(self.breaker)
        if room == 0:
            return
        self.number += 1
        work = f"w{self.number}"
        self.breaker = started(self.breaker, POLICY, work=work, now=self.now)
        self.out.append(work)
        if room == 1:
            assert admits(self.breaker) == 0

    @rule(data=st.data(), how=st.sampled_from(["good", "bad", "blocked", "nothing"]))
    def end(self, data: st.DataObject, how: str) -> None:
        if not self.out:
            return
        work = data.draw(st.sampled_from(self.out))
        self.out.remove(work)
        if how == "good":
            self.breaker = succeeded(self.breaker, work=work)
        elif how == "nothing":
            self.breaker = dropped(self.breaker, work=work)
        else:
            self.breaker = fail(self.breaker, self.now, work=work, blocks=how == "blocked")

    @invariant()
    def it_always_opens_again_some_day(self) -> None:
        later = at(at(self.breaker, POLICY, now=self.now + 1e6), POLICY, now=self.now + 2e6)
        assert admits(later) != 0

    @invariant()
    def only_half_open_has_a_probe(self) -> None:
        if self.breaker.probe is not None:
            assert self.breaker.state is BreakerState.HALF_OPEN


TestBreakerLife = BreakerLife.TestCase
TestBreakerLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
