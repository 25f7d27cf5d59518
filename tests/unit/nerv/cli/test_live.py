"""What was printed cannot be taken back, and the end of the output is always the stored reply."""

from __future__ import annotations

from io import StringIO

from hypothesis import given
from hypothesis import strategies as st

from kernel.messages import Delta
from nerv.cli.live import LiveReply


def test_appended_deltas_print_as_they_come() -> None:
    out = StringIO()
    live = LiveReply(out)
    live.apply(Delta(seq=1, offset=0, text="Hel"))
    assert out.getvalue() == "Hel"
    live.apply(Delta(seq=2, offset=3, text="lo"))
    live.finish_as("Hello")
    assert out.getvalue() == "Hello\n"


def test_a_second_attempt_goes_on_where_the_first_one_stopped() -> None:
    out = StringIO()
    live = LiveReply(out)
    live.apply(Delta(seq=1, offset=0, text="Hello wo"))
    live.restart()
    live.apply(Delta(seq=1, offset=0, text="Hello"))
    live.apply(Delta(seq=2, offset=5, text=" world"))
    live.finish_as("Hello world")
    assert out.getvalue() == "Hello world\n"


def test_a_rewrite_shows_the_stored_reply_whole() -> None:
    out = StringIO()
    live = LiveReply(out)
    live.apply(Delta(seq=1, offset=0, text="Thinking…"))
    live.apply(Delta(seq=2, offset=0, text="Answer", rewrite=True))
    live.finish_as("Answer")
    assert out.getvalue().endswith("----\n\nAnswer\n")


@given(st.lists(st.text(max_size=8), max_size=6), st.text(min_size=1, max_size=30))
def test_the_output_ends_with_the_stored_text(pieces: list[str], final: str) -> None:
    out = StringIO()
    live = LiveReply(out)
    offset = 0
    for seq, piece in enumerate(pieces, start=1):
        live.apply(Delta(seq=seq, offset=offset, text=piece))
        offset += len(piece)
    live.finish_as(final)
    assert out.getvalue().removesuffix("\n").endswith(final.removesuffix("\n"))
