from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kernel.messages import Delta
from kernel.replies import ReplyText, length_after, refusal


@st.composite
def replies(draw: st.DrawFn) -> tuple[list[Delta], str]:
    """A page's deltas, appends and rewrites, and the text that they make."""
    text = ""
    deltas = []
    for seq in range(1, draw(st.integers(0, 12)) + 1):
        rewrite = draw(st.booleans())
        offset = draw(st.integers(0, len(text))) if rewrite else len(text)
        piece = draw(st.text(max_size=5))
        deltas.append(Delta(seq=seq, offset=offset, text=piece, rewrite=rewrite))
        text = text[:offset] + piece
    return deltas, text


@given(replies(), st.randoms(use_true_random=False))
def test_whatever_bundles_come_and_come_twice_the_text_is_the_pages(
    reply: tuple[list[Delta], str], random: object
) -> None:
    deltas, expected = reply
    text = ReplyText()
    at = 0
    while at < len(deltas):
        size = random.randint(1, 4)  # type: ignore[attr-defined]
        back = random.randint(0, at)  # type: ignore[attr-defined]
        taken = text.add(deltas[back : at + size])
        assert taken == tuple(deltas[at : at + size])
        at += size
    assert (text.text, text.length, text.next_seq) == (expected, len(expected), len(deltas) + 1)


@given(replies(), st.integers(0, 20))
def test_a_gap_is_seen_and_nothing_is_done(reply: tuple[list[Delta], str], missing: int) -> None:
    deltas, _ = reply
    if missing >= len(deltas) - 1:
        return
    text = ReplyText()
    text.add(deltas[:missing])
    before = text.text
    assert text.add(deltas[missing + 1 :]) is None
    assert text.text == before


@given(replies())
def test_the_store_accepts_just_what_a_reader_can_apply(reply: tuple[list[Delta], str]) -> None:
    deltas, expected = reply
    length = 0
    for seq, delta in enumerate(deltas, start=1):
        assert refusal(delta, next_seq=seq, length=length) is None
        assert refusal(delta, next_seq=seq + 1, length=length) is not None
        length = length_after(delta, length)
    assert length == len(expected)


def test_a_wrong_offset_is_never_applied() -> None:
    text = ReplyText()
    text.add([Delta(seq=1, offset=0, text="ab")])
    assert text.add([Delta(seq=2, offset=1, text="c")]) is None
    assert text.add([Delta(seq=2, offset=3, text="c", rewrite=True)]) is None
    assert text.text == "ab"
