"""The outbox keeps order, loses nothing while the store is slow, and its deltas always add up to its text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.driver.outbox import MAX_BATCH, MAX_WAITING_CHARS, DeltaOutbox
from kernel.messages import Delta
from kernel.replies import ReplyText


class SlowStore:
    """Takes batches only when let."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.batches: list[tuple[Delta, ...]] = []

    async def __call__(self, deltas: tuple[Delta, ...]) -> None:
        await self.open.wait()
        self.batches.append(deltas)

    @property
    def deltas(self) -> list[Delta]:
        return [delta for batch in self.batches for delta in batch]


@asynccontextmanager
async def running(store: SlowStore) -> AsyncIterator[DeltaOutbox]:
    outbox = DeltaOutbox(store)
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(outbox.run())
        yield outbox
        sending.cancel()


async def test_deltas_arrive_in_order_with_seq_and_offset() -> None:
    store = SlowStore()
    async with running(store) as outbox:
        await outbox.put("ab", 0, False)
        await outbox.put("cd", 2, False)
        await outbox.drain()
    assert [(d.seq, d.offset, d.text, d.rewrite) for d in store.deltas] == [
        (1, 0, "ab", False),
        (2, 2, "cd", False),
    ]


async def test_what_comes_while_the_store_is_slow_goes_in_one_batch() -> None:
    store = SlowStore()
    store.open.clear()
    async with running(store) as outbox:
        await outbox.put("0", 0, False)
        await asyncio.sleep(0)
        for offset in range(1, 11):
            await outbox.put(str(offset % 10), offset, False)
        store.open.set()
        await outbox.drain()
    assert len(store.batches) <= 2
    assert "".join(delta.text for delta in store.deltas) == "01234567890"


async def test_a_batch_is_bounded() -> None:
    store = SlowStore()
    store.open.clear()
    async with running(store) as outbox:
        for offset in range(MAX_BATCH + 10):
            await outbox.put("x", offset, False)
        store.open.set()
        await outbox.drain()
    assert max(len(batch) for batch in store.batches) <= MAX_BATCH


async def test_the_page_waits_when_too_much_waits_for_the_store() -> None:
    store = SlowStore()
    store.open.clear()
    async with running(store) as outbox:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await outbox.put("x" * (MAX_WAITING_CHARS + 1), 0, False)
        store.open.set()
        await outbox.drain()
    assert outbox.text == "x" * (MAX_WAITING_CHARS + 1)


async def test_a_gap_is_an_error_of_the_caller() -> None:
    outbox = DeltaOutbox(SlowStore())
    with pytest.raises(ValueError, match="leaves a gap"):
        await outbox.put("late", 5, False)


async def test_an_error_of_the_store_ends_the_run() -> None:
    async def refuse(deltas: tuple[Delta, ...]) -> None:
        raise RuntimeError("disk full")

    outbox = DeltaOutbox(refuse)
    await outbox.put("x", 0, False)
    with pytest.raises(RuntimeError, match="disk full"):
        await outbox.run()


@given(
    st.lists(st.tuples(st.text(max_size=5), st.integers(0, 12), st.booleans()), max_size=12),
    st.text(max_size=20),
)
def test_the_deltas_always_add_up_to_the_final_text(steps: list[tuple[str, int, bool]], final: str) -> None:
    async def play() -> list[Delta]:
        store = SlowStore()
        async with running(store) as outbox:
            length = 0
            for text, wanted, rewrite in steps:
                offset = min(wanted, length) if rewrite else length
                await outbox.put(text, offset, rewrite)
                length = offset + len(text)
            await outbox.finish_as(final)
            await outbox.drain()
        return store.deltas

    reply = ReplyText()
    for delta in asyncio.run(play()):
        reply.add((delta,))
    assert reply.text == final
