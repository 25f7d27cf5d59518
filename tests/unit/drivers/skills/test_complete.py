"""When a reply counts as ended: two signs soon, one later, none only after a long quiet, failures never as whole."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.skills.complete import Facts, Verdict, decide, next_look, signs_of


def facts(**changes: object) -> Facts:
    base = Facts(since_submit=30.0, quiet=2.0, text=True)
    return msgspec.structs.replace(base, **changes)


def test_a_reply_that_still_grows_is_awaited_whatever_the_signs_say() -> None:
    assert decide(facts(quiet=0.1, wire_ended=True, controls_back=True)) is Verdict.WAIT


def test_two_signs_settle_it_soon() -> None:
    assert decide(facts(quiet=0.35, controls_back=True, actions=True)) is Verdict.COMPLETE


def test_one_sign_needs_longer() -> None:
    assert decide(facts(quiet=0.5, controls_back=True)) is Verdict.WAIT
    assert decide(facts(quiet=1.1, controls_back=True)) is Verdict.COMPLETE


def test_quiet_alone_is_an_unproven_end() -> None:
    assert decide(facts(quiet=4.9)) is Verdict.WAIT
    assert decide(facts(quiet=5.1)) is Verdict.UNPROVEN


def test_a_pause_of_an_open_stream_is_no_end() -> None:
    assert decide(facts(quiet=30.0, wire_open=True, wire_text=True, wire_quiet=30.0)) is Verdict.WAIT


@pytest.mark.parametrize("sign", ["busy", "input_disabled"])
def test_a_busy_page_is_awaited(sign: str) -> None:
    assert decide(facts(quiet=60.0, wire_ended=True, actions=True, **{sign: True})) is Verdict.WAIT


def test_a_page_that_shows_all_the_wire_gave_is_done_at_once() -> None:
    assert decide(facts(quiet=0.2, wire_ended=True, wire_text=True, covered=True)) is Verdict.COMPLETE


WHOLE = {"quiet": 0.0, "wire_ended": True, "wire_text": True, "wire_quiet": 0.0, "covered": True}


@pytest.mark.parametrize("second", ["actions", "input_back", "toolbar"])
def test_where_the_wire_is_known_and_the_page_says_it_twice_there_is_no_wait(second: str) -> None:
    assert decide(facts(**WHOLE, learned=True, controls_back=True, **{second: True})) is Verdict.COMPLETE


@pytest.mark.parametrize(
    "less",
    [
        {"learned": False},  # the exchange that teaches a recipe waits until the controls have settled
        {"controls_back": False},
        {"actions": False},
        {"covered": False},
        {"wire_ended": False, "wire_open": True},
        {"busy": True},
        {"input_disabled": True},
    ],
)
def test_without_any_one_of_these_there_is(less: dict[str, bool]) -> None:
    said = {**WHOLE, "learned": True, "controls_back": True, "actions": True}
    assert decide(facts(**said)) is Verdict.COMPLETE
    assert decide(facts(**{**said, **less})) is Verdict.WAIT


def test_controls_with_the_last_words_are_not_counted_twice() -> None:
    assert decide(facts(**WHOLE, learned=True, actions=True, toolbar=True)) is Verdict.WAIT


def test_a_typewriter_that_pauses_behind_the_wire_is_awaited() -> None:
    """The stream ended, the controls are back, but the wire gave more than is shown."""
    waiting = facts(quiet=1.0, wire_ended=True, wire_text=True, wire_quiet=1.0, controls_back=True)
    assert decide(waiting) is Verdict.WAIT


def test_a_slow_typewriter_is_not_watched_to_its_end_when_its_text_is_known() -> None:
    typing = facts(quiet=0.02, wire_ended=True, wire_text=True, wire_quiet=2.1, ahead=True)
    assert decide(typing) is Verdict.COMPLETE


def test_a_broken_stream_is_cut_off_and_never_whole() -> None:
    broken = facts(
        quiet=1.0, wire_failed=True, wire_text=True, wire_quiet=1.0, controls_back=True, actions=True
    )
    assert decide(broken) is Verdict.CUT_OFF


def test_no_sign_of_life_is_cut_off() -> None:
    assert decide(facts(quiet=121.0, wire_open=True, wire_quiet=121.0)) is Verdict.CUT_OFF


def test_a_page_may_think_long_before_its_first_word() -> None:
    assert decide(facts(text=False, quiet=60.0)) is Verdict.WAIT
    assert decide(facts(text=False, quiet=181.0)) is Verdict.SILENT


def test_an_end_without_text_is_an_empty_reply() -> None:
    assert decide(facts(text=False, quiet=4.5, controls_back=True)) is Verdict.EMPTY


def test_text_that_the_page_never_draws_is_taken_from_the_wire_unproven() -> None:
    hidden = facts(text=False, quiet=9.0, wire_quiet=9.0, wire_text=True, wire_ended=True)
    assert decide(hidden) is Verdict.UNPROVEN


MAYBE = st.booleans()
ANY = st.builds(
    Facts,
    since_submit=st.floats(0, 500),
    quiet=st.floats(0, 500),
    text=MAYBE,
    busy=MAYBE,
    controls_back=MAYBE,
    input_disabled=MAYBE,
    input_back=MAYBE,
    actions=MAYBE,
    wire_text=MAYBE,
    wire_quiet=st.none() | st.floats(0, 500),
    wire_ended=MAYBE,
    wire_open=MAYBE,
    wire_ends=MAYBE,
    wire_failed=MAYBE,
    hung_up=MAYBE,
    carrier_open=MAYBE,
    gives_sign=MAYBE,
    on_wire=MAYBE,
    covered=MAYBE,
    ahead=MAYBE,
)


@given(ANY)
def test_complete_is_never_said_without_a_sign(it: Facts) -> None:
    if decide(it) is Verdict.COMPLETE:
        assert signs_of(it)


@given(ANY)
def test_complete_is_never_said_of_a_page_without_text(it: Facts) -> None:
    if decide(it) is Verdict.COMPLETE:
        assert it.text


@given(ANY)
def test_the_next_look_is_soon_enough_and_never_a_spin(it: Facts) -> None:
    assert 0.01 <= next_look(it) <= 500.0


@given(ANY)
def test_nothing_is_awaited_for_ever(it: Facts) -> None:
    old = msgspec.structs.replace(it, quiet=1000.0, wire_quiet=None if it.wire_quiet is None else 1000.0)
    assert decide(old) is not Verdict.WAIT


def test_an_indicator_that_goes_away_is_a_weaker_sign() -> None:
    assert decide(facts(quiet=1.5, indicator_gone=True)) is Verdict.WAIT
    assert decide(facts(quiet=2.1, indicator_gone=True)) is Verdict.COMPLETE


def test_quiet_counts_later_while_something_new_turns_on_the_page() -> None:
    assert decide(facts(quiet=9.0, spinning=True)) is Verdict.WAIT
    assert decide(facts(quiet=10.1, spinning=True)) is Verdict.UNPROVEN


def test_an_open_stream_of_a_kind_that_ends_outlasts_a_false_sign_of_the_page() -> None:
    paused = facts(
        quiet=10.0, wire_open=True, wire_text=True, wire_quiet=10.0, covered=True, controls_back=True
    )
    assert decide(paused) is Verdict.COMPLETE
    assert decide(msgspec.structs.replace(paused, wire_ends=True)) is Verdict.WAIT
    late = msgspec.structs.replace(paused, wire_ends=True, quiet=31.0, wire_quiet=31.0)
    assert decide(late) is Verdict.COMPLETE


@pytest.mark.parametrize("sign", ["said_end", "carrier_ended", "drawn"])
def test_a_wire_that_tells_its_end_is_a_sign(sign: str) -> None:
    assert decide(facts(quiet=0.5, **{sign: True})) is Verdict.WAIT
    assert decide(facts(quiet=1.1, **{sign: True})) is Verdict.COMPLETE


def test_what_a_page_shows_while_the_wire_is_silent_is_not_the_reply_yet() -> None:
    """ "Thinking…", where replies are known to be on the wire; a send button comes and goes meanwhile."""
    thinking = facts(on_wire=True, quiet=20.0, controls_back=True)
    assert decide(thinking) is Verdict.WAIT
    assert decide(msgspec.structs.replace(thinking, quiet=31.0)) is Verdict.COMPLETE
    alone = facts(on_wire=True, quiet=60.0)
    assert decide(alone) is Verdict.WAIT
    assert decide(msgspec.structs.replace(alone, quiet=91.0)) is Verdict.UNPROVEN
    assert decide(msgspec.structs.replace(alone, covered=True)) is Verdict.UNPROVEN


def test_a_request_that_is_not_answered_in_full_outlasts_a_short_quiet() -> None:
    asked = facts(carrier_open=True, quiet=20.0)
    assert decide(asked) is Verdict.WAIT
    assert decide(msgspec.structs.replace(asked, quiet=31.0)) is Verdict.UNPROVEN
    assert decide(msgspec.structs.replace(asked, quiet=20.0, controls_back=True)) is Verdict.WAIT
    assert decide(msgspec.structs.replace(asked, quiet=31.0, controls_back=True)) is Verdict.COMPLETE


def test_a_socket_that_hangs_up_may_come_back_and_is_no_end() -> None:
    gone = facts(hung_up=True, wire_text=True, quiet=5.0, wire_quiet=5.0, controls_back=True)
    assert decide(gone) is Verdict.WAIT
    assert decide(msgspec.structs.replace(gone, quiet=6.1, wire_quiet=6.1)) is Verdict.CUT_OFF


def test_a_page_that_gave_a_sign_before_is_given_longer_without_one() -> None:
    assert decide(facts(gives_sign=True, quiet=7.0)) is Verdict.WAIT
    assert decide(facts(gives_sign=True, quiet=10.1)) is Verdict.UNPROVEN
