"""What is drawn has the width it was promised, and nothing of a page can command the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.formats import age, clean, fit, number, one_line, size, sparkline


@given(st.text(), st.integers(min_value=0, max_value=60), st.booleans())
def test_fit_gives_exactly_the_cells_asked_for(text: str, width: int, right: bool) -> None:
    assert cell_len(fit(one_line(text), width, right=right)) == width


@given(st.text())
def test_clean_text_holds_no_control_but_line_ends(text: str) -> None:
    assert not [c for c in clean(text) if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0]


def test_an_escape_sequence_and_a_text_turner_are_shown_not_obeyed() -> None:
    assert clean("\x1b]52;c;aGk=\x07ok\u202eevil") == "·]52;c;aGk=·ok·evil"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.42, "0.4s"), (12, "12s"), (200, "3m20s"), (7980, "2h13m"), (446400, "5d04h"), (-3, "0.0s")],
)
def test_age(seconds: float, words: str) -> None:
    assert age(seconds) == words


@given(st.floats(min_value=0, max_value=1e9))
def test_ages_and_sizes_fit_their_columns(value: float) -> None:
    assert len(age(value)) <= 6
    assert len(size(value * 1000)) <= 5
    assert len(number(value)) <= 6


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0"), (7, "7"), (0.25, "0.25"), (3.7, "3.7"), (12_400, "12.4k"), (3.1e6, "3.1M")]
)
def test_number(value: float, words: str) -> None:
    assert number(value) == words


def test_sparkline_shows_the_latest_values_at_the_right() -> None:
    assert sparkline((0, 5, 10), 5) == "  ▁▄█"
    assert sparkline((1, 2, 3, 4), 2, top=4) == "▆█"
    assert sparkline((), 3) == "   "
    assert sparkline((0, 0), 2) == "▁▁"
