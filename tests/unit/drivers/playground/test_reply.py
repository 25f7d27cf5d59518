"""The reply is a function of the prompt, and its pieces are the reply."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.playground import reply_for
from drivers.playground.prompt import Fault, Kind, digest, parse_fault, read
from drivers.playground.reply import CODE_REPLY_LINES, LONG_REPLY_CHARACTERS, pieces


@given(st.text(st.characters(exclude_characters="\r")))
def test_the_same_prompt_has_the_same_reply_whatever_the_page_does_to_its_blanks(prompt: str) -> None:
    assert reply_for(prompt) == reply_for(f"  {prompt.replace(chr(10), chr(13) + chr(10))}\n")


@given(st.text(), st.integers(1, 200))
def test_pieces_joined_are_the_text(text: str, count: int) -> None:
    assert "".join(pieces(text, count)) == text


def test_different_prompts_have_different_replies() -> None:
    assert reply_for("one") != reply_for("two")


def test_each_kind_is_what_its_name_says() -> None:
    assert len(reply_for("long story")) >= LONG_REPLY_CHARACTERS
    assert reply_for("code please").count("\n") > CODE_REPLY_LINES
    assert reply_for("empty") == ""
    assert "\n" not in reply_for("short one")
    assert "$$" in reply_for("math")
    assert "![" in reply_for("image")
    assert not reply_for("unicode").isascii()
    assert reply_for("echo  two  words\nand a line ") == "two  words\nand a line"


@pytest.mark.parametrize(
    ("prompt", "fault", "argument", "kind"),
    [
        ("stall", Fault.STALL, None, Kind.DEFAULT),
        ("stall:2.5 long tale", Fault.STALL, 2.5, Kind.LONG),
        ("cut echo echo", Fault.CUT, None, Kind.ECHO),
        ("Cut this text", Fault.NONE, None, Kind.DEFAULT),
        ("stalled", Fault.NONE, None, Kind.DEFAULT),
        ("", Fault.NONE, None, Kind.DEFAULT),
    ],
)
def test_the_first_words_choose_fault_and_kind(
    prompt: str, fault: Fault, argument: float | None, kind: Kind
) -> None:
    directive = read(prompt)
    assert (directive.fault, directive.argument, directive.kind) == (fault, argument, kind)


@pytest.mark.parametrize(
    "word", ["stall:", "stall:x", "stall:-1", "stall:nan", "stall:inf", "none", "none:1"]
)
def test_a_fault_with_a_bad_number_is_no_fault(word: str) -> None:
    assert parse_fault(word) == (Fault.NONE, None)


def test_a_fault_word_and_a_fault_argument_belong_to_the_prompt_that_is_counted() -> None:
    assert digest("stall hello") != digest("hello")
