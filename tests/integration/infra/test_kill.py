"""P1 at the store: whatever was answered is there after kill -9, and nothing is half there."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import apsw
import pytest

from infra.replies import SqliteReplyStore
from infra.tasks import SqliteTaskStore
from kernel.tasks import TaskId
from tests.unit.infra.test_task_store import NOW

ROOT = Path(__file__).parents[3]
ANSWERS = 300
"""So many answers are awaited before the kill."""

WRITER = """
import asyncio, itertools, sys
from pathlib import Path
from infra.replies import SqliteReplyStore
from infra.tasks import SqliteTaskStore
from kernel.messages import Delta, ReplyAppend
from kernel.tasks import TaskId
from tests.unit.infra.test_task_store import a_task

async def main(folder):
    tasks = await SqliteTaskStore.open(folder / "tasks.db")
    replies = await SqliteReplyStore.open(folder / "replies.db")
    async def work(name):
        for number in itertools.count():
            task = a_task(id=TaskId(f"task-{name}-{number:06}"), prompt="x" * 500)
            await tasks.submit(task, envelope=task.id)
            print("task", task.id, flush=True)
            delta = Delta(seq=number + 1, offset=number, text="x")
            await replies.append(ReplyAppend(task=TaskId(str(name)), attempt=1, deltas=(delta,)))
            print("reply", name, number + 1, flush=True)
    async with asyncio.TaskGroup() as group:
        for name in range(16):
            group.create_task(work(name))

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.chaos
async def test_what_was_answered_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(tmp_path), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    answered: list[list[str]] = []
    async with asyncio.timeout(30):
        while len(answered) < ANSWERS:
            answered.append((await process.stdout.readline()).decode().split())
        process.kill()
        rest = (await process.stdout.read()).decode()
        await process.wait()
    answered += [line.split() for line in rest.splitlines(keepends=True) if line.endswith("\n")]

    tasks = await SqliteTaskStore.open(tmp_path / "tasks.db")
    replies = await SqliteReplyStore.open(tmp_path / "replies.db")
    for kind, name, *number in answered:
        if kind == "task":
            found = await tasks.get(TaskId(name))
            assert len(found.prompt) == 500
            assert [event.change for event in await tasks.history(found.id)] == ["→PENDING"]
        else:
            view = await replies.read(TaskId(name))
            assert view.length >= int(number[0])
            assert [delta.seq for delta in view.deltas] == list(range(1, view.length + 1))
    counts = await tasks.counts(now=NOW)

    def rows(connection: apsw.Connection) -> tuple[object, ...]:
        return connection.execute(
            "SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM task_contents), "
            "(SELECT count(*) FROM task_events)"
        ).fetchall()[0]

    whole = await tasks._database.read(rows)
    assert set(whole) == {counts.states["PENDING"]}, "a task without its prompt or its history"
    await tasks.close()
    await replies.close()
