from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.replies import SqliteReplyStore
from infra.replies.sqlite import MAX_READ_CHARS
from kernel.messages import Delta, ReplyAppend, ReplySeal
from kernel.replies import ReplyText
from kernel.tasks import Finish, ReplySource, TaskId
from nerv.errors import ErrorCode, NervError

TASK = TaskId("t")


@pytest.fixture
async def replies(tmp_path: Path) -> AsyncIterator[SqliteReplyStore]:
    opened = await SqliteReplyStore.open(tmp_path / "replies.db")
    yield opened
    await opened.close()


def append(*deltas: Delta, attempt: int = 1) -> ReplyAppend:
    return ReplyAppend(task=TASK, attempt=attempt, deltas=deltas)


def seal(text: str, attempt: int = 1) -> ReplySeal:
    return ReplySeal(
        task=TASK,
        attempt=attempt,
        text=text,
        source=ReplySource.WIRE,
        finish=Finish.COMPLETE,
        signs=("done",),
    )


A = Delta(seq=1, offset=0, text="Hällo ")
B = Delta(seq=2, offset=6, text="wörld")
C = Delta(seq=3, offset=5, text="!", rewrite=True)


async def test_deltas_come_back_in_order_and_only_once(replies: SqliteReplyStore) -> None:
    assert (await replies.append(append(A, B))).deltas == (A, B)
    assert (await replies.append(append(A, B, C))).deltas == (C,)
    assert (await replies.append(append(B))).deltas == ()
    view = await replies.read(TASK)
    assert (view.attempt, view.deltas, view.length) == (1, (A, B, C), 6)
    assert (await replies.read(TASK, attempt=1, after=2)).deltas == (C,)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (Delta(seq=3, offset=6, text="x"), "deltas.seq"),
        (Delta(seq=2, offset=5, text="x"), "deltas.offset"),
        (Delta(seq=2, offset=7, text="x"), "deltas.offset"),
        (Delta(seq=2, offset=7, text="x", rewrite=True), "deltas.offset"),
    ],
)
async def test_a_gap_is_refused_whole(replies: SqliteReplyStore, wrong: Delta, field: str) -> None:
    await replies.append(append(A))
    with pytest.raises(NervError) as caught:
        await replies.append(append(wrong))
    assert (caught.value.code, caught.value.info.field) == (ErrorCode.CONFLICT, field)
    with pytest.raises(NervError):
        await replies.append(append(B, Delta(seq=3, offset=99, text="x")))
    assert (await replies.read(TASK)).deltas == (A,)


async def test_the_first_seal_wins_whichever_attempt_comes_later(replies: SqliteReplyStore) -> None:
    await replies.append(append(A, attempt=1))
    first = await replies.seal(seal("Hällo wörld", attempt=1), now=1.0)
    assert (first.length, first.attempt) == (11, 1)
    assert await replies.seal(seal("Hällo wörld", attempt=1), now=2.0) == first
    await replies.append(append(A, attempt=2))
    assert await replies.seal(seal("something else", attempt=2), now=3.0) == first
    view = await replies.read(TASK)
    assert (view.sealed, view.text, view.attempt, view.signs) == (first, "Hällo wörld", 1, ("done",))


async def test_nothing_is_added_to_a_sealed_reply(replies: SqliteReplyStore) -> None:
    await replies.append(append(A))
    await replies.seal(seal("Hällo "), now=1.0)
    assert (await replies.append(append(A))).deltas == ()
    with pytest.raises(NervError) as caught:
        await replies.append(append(B))
    assert caught.value.code is ErrorCode.CONFLICT


async def test_a_new_attempt_starts_a_reply_of_its_own(replies: SqliteReplyStore) -> None:
    await replies.append(append(A, B, attempt=1))
    await replies.append(append(A, attempt=2))
    assert (await replies.read(TASK)).attempt == 2
    assert (await replies.read(TASK, attempt=1)).deltas == (A, B)


async def test_a_long_reply_is_read_in_parts(replies: SqliteReplyStore) -> None:
    piece = "x" * 200_000
    for i in range(5):
        await replies.append(append(Delta(seq=i + 1, offset=i * len(piece), text=piece)))
    text = ReplyText()
    rounds = 0
    while (view := await replies.read(TASK, after=text.next_seq - 1)).deltas:
        assert sum(len(delta.text) for delta in view.deltas) < MAX_READ_CHARS + len(piece)
        text.add(view.deltas)
        rounds += 1
    assert (text.text, rounds) == (piece * 5, 2)


async def test_a_reply_that_nobody_began_is_empty(replies: SqliteReplyStore) -> None:
    view = await replies.read(TASK)
    assert (view.attempt, view.deltas, view.sealed, view.text) == (0, (), None, None)
