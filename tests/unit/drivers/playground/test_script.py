"""The steps of a generation add up to the reply, unless the fault says otherwise."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.playground.prompt import Fault
from drivers.playground.reply import reply_for
from drivers.playground.script import Append, Fail, Pace, Replace, Step, half_way, script_for

PACE = Pace(chunks=10, seconds=2.0, pause=5.0, slow=3.0)


def played(steps: list[Step]) -> str:
    text = ""
    for step in steps:
        match step:
            case Append(text=more):
                text += more
            case Replace(text=whole):
                text = whole
            case Fail():
                return text
    return text


def script(prompt: str, fault: Fault = Fault.NONE, argument: float | None = None) -> list[Step]:
    return list(script_for(prompt, PACE, fault=fault, argument=argument))


@given(
    st.sampled_from(["hello", "long", "short", "unicode", "empty", "echo a"]),
    st.sampled_from([Fault.NONE, Fault.CUT, Fault.REWRITE, Fault.STALL]),
)
def test_the_steps_end_in_the_exact_reply(prompt: str, fault: Fault) -> None:
    assert played(script(prompt, fault)) == reply_for(prompt)


def test_a_reply_takes_the_time_of_its_pace() -> None:
    steps = script("hello")
    assert sum(step.wait for step in steps) == pytest.approx(PACE.seconds)
    assert sum(step.wait for step in script("pause")) == pytest.approx(PACE.seconds + PACE.pause)
    assert sum(step.wait for step in script("slow")) == pytest.approx(PACE.seconds + PACE.slow)
    assert sum(step.wait for step in script("short")) == 0


def test_a_stall_waits_for_ever_half_way_or_as_long_as_it_says() -> None:
    waits = [step.wait for step in script("hello", Fault.STALL)]
    assert waits.count(math.inf) == 1
    assert sum(step.wait for step in script("hello", Fault.STALL, 7)) == pytest.approx(PACE.seconds + 7)


def test_an_error_ends_the_reply_half_way() -> None:
    steps = script("hello", Fault.ERROR)
    assert isinstance(steps[-1], Fail)
    assert played(steps) == reply_for("hello")[: half_way("hello", PACE)]


def test_a_rewrite_shows_other_words_first() -> None:
    steps = script("hello", Fault.REWRITE)
    before = played(steps[: next(n for n, step in enumerate(steps) if isinstance(step, Replace))])
    assert before != reply_for("hello")[: len(before)]
    assert len(before) == half_way("hello", PACE)
