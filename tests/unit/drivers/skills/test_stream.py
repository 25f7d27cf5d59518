"""Deltas always add up to the text, whatever the sources said in between."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drivers.skills.stream import ReplyStream, common_prefix
from kernel.tasks import Stage


class Receiver:
    def __init__(self) -> None:
        self.text = ""
        self.rewrites = 0

    async def stage(self, stage: Stage, conversation: str | None = None) -> None:
        raise AssertionError("a stream has no stages")

    async def delta(self, text: str, offset: int, rewrite: bool) -> None:
        if rewrite:
            self.rewrites += 1
            assert offset < len(self.text)
        else:
            assert offset == len(self.text)
        self.text = self.text[:offset] + text


APPEND = st.tuples(st.just("append"), st.text(max_size=5), st.integers(0, 12), st.booleans())
BECOME = st.tuples(st.just("become"), st.text(max_size=12), st.just(0), st.just(False))
FLUSH = st.tuples(st.just("flush"), st.just(""), st.just(0), st.just(False))


@given(st.lists(st.one_of(APPEND, BECOME, FLUSH), max_size=20))
async def test_deltas_add_up(steps: list[tuple[str, str, int, bool]]) -> None:
    receiver = Receiver()
    stream = ReplyStream(receiver)
    for kind, text, offset, rewrite in steps:
        if kind == "append":
            stream.append(offset, text, rewrite)
        elif kind == "become":
            stream.become(text)
        else:
            await stream.flush()
    await stream.flush()
    assert receiver.text == stream.text


async def test_growth_is_no_rewrite() -> None:
    receiver = Receiver()
    stream = ReplyStream(receiver)
    for text in ("He", "Hello", "Hello, you"):
        stream.become(text)
        await stream.flush()
    assert (receiver.text, receiver.rewrites) == ("Hello, you", 0)


@given(st.text(), st.text())
def test_common_prefix(a: str, b: str) -> None:
    n = common_prefix(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]
