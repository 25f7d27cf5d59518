"""Is what an input holds the prompt?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.skills.compose import Match, match


@pytest.mark.parametrize(
    ("prompt", "held", "expected"),
    [
        ("one\ntwo", "one\ntwo", Match.EXACT),
        ("one\ntwo", "one\r\ntwo\n", Match.EXACT),
        ("a b", "a\u00a0b", Match.EXACT),
        ("a\u200bb", "ab", Match.EXACT),
        ("one\ntwo", "one\n\ntwo", Match.LINES),
        ("one\ntwo", "one two", Match.WORDS),
        ("one\n  two", "one\ntwo", Match.WORDS),
        ("one two", "one tw", Match.NONE),
        ("one", "one one", Match.NONE),
        ("one", "", Match.NONE),
    ],
)
def test_match(prompt: str, held: str, expected: Match) -> None:
    assert match(prompt, held) is expected


@given(st.text(min_size=1))
def test_a_prompt_matches_itself(prompt: str) -> None:
    assert match(prompt, prompt) is Match.EXACT


@given(st.from_regex(r"[a-z]{1,8}( [a-z]{1,8}){1,6}", fullmatch=True))
def test_a_prompt_that_lost_a_word_never_matches(prompt: str) -> None:
    assert match(prompt, prompt.rsplit(" ", 1)[0]) is Match.NONE
