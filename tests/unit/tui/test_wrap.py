from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.formats import clean
from tui.wrap import Tint, Wrapped, wrap

TEXTS = st.text(alphabet=st.sampled_from("ab 漢字🙂`#-\n"), max_size=200)


@given(TEXTS, st.integers(min_value=2, max_value=30))
def test_no_piece_is_wider_than_the_view_and_no_word_is_lost(text: str, width: int) -> None:
    line = clean(text).replace("\n", " ")
    pieces = wrap(line, width)
    assert all(cell_len(piece) <= width for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(line.split())


@given(st.lists(TEXTS, max_size=8), st.integers(min_value=4, max_value=30))
def test_a_growing_text_is_wrapped_like_the_whole_text_at_once(parts: list[str], width: int) -> None:
    growing, text = Wrapped(), ""
    for part in parts:
        text += part
        growing.update(text, width)
    at_once = Wrapped()
    at_once.update(text, width)
    assert growing.lines == at_once.lines


def test_a_growing_text_keeps_its_finished_lines() -> None:
    wrapped = Wrapped()
    wrapped.update("one\ntwo", 20)
    assert wrapped.update("one\ntwo three", 20) == 1
    assert wrapped.update("another", 20) == 0


def test_words_stay_whole_where_they_fit() -> None:
    assert wrap("alpha beta gamma", 11) == ["alpha beta", "gamma"]
    assert wrap("abcdefgh", 3) == ["abc", "def", "gh"]


def test_tints_follow_markdown_line_by_line() -> None:
    wrapped = Wrapped()
    wrapped.update("# Title\n- item\n> quote\n```python\n# no title\n```\ntext", 40)
    assert [line.tint for line in wrapped.lines] == [
        Tint.HEADING,
        Tint.ITEM,
        Tint.QUOTE,
        Tint.FENCE,
        Tint.CODE,
        Tint.FENCE,
        Tint.TEXT,
    ]
