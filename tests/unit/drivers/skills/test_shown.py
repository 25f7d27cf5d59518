"""What the page shows beside what the wire gave."""

from __future__ import annotations

import pytest

from drivers.recipes import Completion
from drivers.skills.follow import shows_beginning
from drivers.skills.report import controls_differ, utf16_prefix

WIRE = "# Title\n\nThe [link](https://example.org/x?y=1) is **here**, and then much more text follows in the end.\n"


def test_a_drawn_beginning_is_recognised_past_the_address_of_a_link() -> None:
    assert shows_beginning("Title\nThe link is here, and then much", WIRE)


def test_the_whole_text_is_no_beginning() -> None:
    assert not shows_beginning("a b c d e f g h i", "a b c d e f g h i")


def test_another_text_is_no_beginning() -> None:
    assert not shows_beginning("Sorry, something went wrong on our side, try again", WIRE)


@pytest.mark.parametrize("shown", ["T", "Title", "Title\nThe lin"])
def test_a_few_words_are_a_beginning_where_they_are_its_very_first(shown: str) -> None:
    assert shows_beginning(shown, WIRE)


@pytest.mark.parametrize("shown", ["", "…", "Error", "The link", "Title, and more"])
def test_a_few_other_words_are_not(shown: str) -> None:
    assert not shows_beginning(shown, WIRE)


def test_a_page_unit_is_half_a_character_beyond_the_basic_plane() -> None:
    assert utf16_prefix("a😀b", 3) == "a😀"
    assert utf16_prefix("plain", 3) == "pla"


def test_a_control_that_woke_up_late_is_no_sign_of_work_on_a_learned_page() -> None:
    assert controls_differ(("button|send||on",), ("button|send||off",), Completion())
    assert not controls_differ(("button|send||on",), ("button|send||off",), Completion(learned=True))


def test_a_stop_control_that_becomes_usable_is_a_sign_of_work() -> None:
    learned = Completion(learned=True, busy=("button|stop||on",))
    assert controls_differ(("button|stop||on",), ("button|stop||off",), learned)


def test_what_stays_after_a_reply_is_not_taken_for_work() -> None:
    learned = Completion(learned=True, settled=("button|copy||on",), gone=("button|hint||on",))
    assert not controls_differ(("button|copy||on",), ("button|hint||on",), learned)
