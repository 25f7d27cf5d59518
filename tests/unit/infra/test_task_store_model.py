"""Many commands in any order against one store: what must hold after each, whatever came before."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import apsw
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from infra.tasks import LeaseFilter, SqliteTaskStore
from infra.tasks.places import Place
from kernel.messages import TaskSettle
from kernel.tasks import FINAL_STATES, LeaseToken, Stage, Task, TaskId, TaskState
from nerv.errors import ErrorCode, NervError
from tests.unit.infra.test_task_store import NOW, a_task, done, failed

REFUSALS = {ErrorCode.STALE_LEASE, ErrorCode.CONFLICT, ErrorCode.NOT_FOUND}

steps = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "submit",
                "submit",
                "submit keyed",
                "submit keyed",
                "submit delayed",
                "submit dependent",
                "lease",
                "lease",
                "lease",
                "stage",
                "done",
                "done",
                "retry later",
                "dead",
                "release",
                "cancel",
                "operator retry",
                "sweep",
                "wait",
            ]
        ),
        st.integers(0, 1000),
    ),
    min_size=25,
    max_size=60,
)


class Driver:
    """Applies steps, remembers every token it was ever given, and looks at the whole table after each."""

    def __init__(self, store: SqliteTaskStore) -> None:
        self.store = store
        self.now = NOW
        self.ids: list[TaskId] = []
        self.held: list[tuple[Task, LeaseToken]] = []

    async def step(self, what: str, pick: int) -> None:
        before = {task.id: task for task in await self.tasks()}
        try:
            await self._do(what, pick, before)
        except NervError as error:
            if error.code not in REFUSALS:
                raise
        await self.check()

    async def _do(self, what: str, pick: int, before: dict[TaskId, Task]) -> None:
        if what.startswith("submit"):
            await self._submit(what, pick)
        elif what == "lease":
            allowed = LeaseFilter(without_keys=frozenset({"b/default"} if pick % 4 == 0 else ()))
            leased = await self.store.lease(
                owner="d@1", limit=1 + pick % 3, seconds=30, allowed=allowed, now=self.now
            )
            for task in leased.result:
                assert task.lease is not None
                assert task.not_before <= self.now < task.deadline
                self.held.append((task, task.lease.token))
        elif what == "wait":
            self.now += pick / 10
        elif what == "sweep":
            await self.store.sweep(now=self.now)
        elif what == "release":
            await self.store.release("d@1", task_id=None, loss=pick % 2 == 0, reason="", now=self.now)
        elif what in ("cancel", "operator retry") and self.ids:
            task_id = self.ids[pick % len(self.ids)]
            if what == "cancel":
                await self.store.cancel(task_id, reason="", by="", now=self.now)
            else:
                await self.store.retry(task_id, resend=False, by="", now=self.now)
        elif self.held:
            await self._as_worker(what, *self.held[pick % len(self.held)], before)

    async def _submit(self, what: str, pick: int) -> None:
        fields: dict[str, Any] = {
            "provider": "ab"[pick % 2],
            "priority": pick % 3,
            "created_at": self.now,
            "updated_at": self.now,
            "deadline": self.now + 60.0,
        }
        if what == "submit keyed":
            fields["concurrency_key"] = "key"
        elif what == "submit delayed":
            fields["not_before"] = self.now + pick % 50
        elif what == "submit dependent" and self.ids:
            fields["depends_on"] = (self.ids[pick % len(self.ids)],)
        task = replace(a_task(), **fields)
        await self.store.submit(task, envelope=task.id)
        self.ids.append(task.id)

    async def _as_worker(self, what: str, task: Task, token: LeaseToken, before: dict[TaskId, Task]) -> None:
        now = before[task.id]
        current = now.lease is not None and now.lease.token == token
        command: TaskSettle | None = {
            "done": done(task, token),
            "retry later": failed(task, token, TaskState.RETRY, self.now + 5),
            "dead": failed(task, token, TaskState.DEAD),
        }.get(what)
        try:
            if command is None:
                await self.store.stage(task.id, token, to=Stage.SUBMITTED, conversation=None, now=self.now)
            else:
                await self.store.settle(command, now=self.now)
        except NervError:
            assert not current, "the holder of the current token was refused"
            raise
        if not current:
            assert await self.store.get(task.id) == replace(
                now, prompt=(await self.store.get(task.id)).prompt
            ), "P2: a stale token changed something"

    async def tasks(self) -> tuple[Task, ...]:
        return (await self.store.page(states=(), provider=None, limit=1000, after=None)).tasks

    async def check(self) -> None:
        tasks = await self.tasks()
        assert {task.id for task in tasks} == set(self.ids), "P1: a task is lost, or there is one too many"
        by_id = {task.id: task for task in tasks}
        places = dict(await self.store._database.read(_places))
        counts = await self.store.counts(now=self.now)
        for state in TaskState:
            assert counts.states[state] == sum(task.state is state for task in tasks)
        running = [task for task in tasks if task.state is TaskState.RUNNING and task.concurrency_key]
        assert len(running) <= 1, "two of one concurrency key run at once"
        for task in tasks:
            place = places[task.id]
            assert (place == Place.ENDED) == (task.state in FINAL_STATES)
            assert (place == Place.RUNNING) == (task.state is TaskState.RUNNING)
            needs = [by_id[needed].state for needed in task.depends_on]
            assert (place == Place.DEPENDENT) == (
                task.state not in FINAL_STATES and any(state is not TaskState.DONE for state in needs)
            )
        waiting = [task for task in tasks if places[task.id] == Place.KEYED]
        if waiting:
            holders = [task for task in tasks if task.concurrency_key and places[task.id] in (1, 5)]
            assert len(holders) == 1, "a key with waiting tasks that none of them will ever get"


def _places(connection: apsw.Connection) -> list[Any]:
    return connection.execute("SELECT id, place FROM tasks").fetchall()


@given(steps)
@settings(max_examples=60, deadline=None)
def test_whatever_order_commands_come_in(found: list[tuple[str, int]]) -> None:
    async def play() -> None:
        with tempfile.TemporaryDirectory(prefix="nv-") as folder:
            store = await SqliteTaskStore.open(Path(folder) / "t.db")
            try:
                driver = Driver(store)
                for what, pick in found:
                    await driver.step(what, pick)
            finally:
                await store.close()

    asyncio.run(play())
