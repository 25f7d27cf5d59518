"""How much work SQLite does for each command, counted in steps of its virtual machine: not more beside 50,000
waiting tasks than beside a few. An index that is lost to a changed query shows here, on any machine alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from infra.sqlite import Database
from infra.tasks import LeaseFilter, SqliteTaskStore
from infra.tasks.places import Place
from infra.tasks.rows import INSERT, values_to_insert
from kernel.messages import TaskSettle
from kernel.tasks import Stage, Task, TaskError, TaskId, TaskState, TroubleKind
from tests.unit.infra.test_task_store import ANY, NOW, a_task

FEW, MANY = 200, 50_000
Command = Callable[[SqliteTaskStore], Awaitable[Any]]


def fill(number: int) -> Callable[[apsw.Connection], None]:
    """Waiting tasks of some providers, priorities, keys, delays; and half as many that ended long ago."""

    def rows() -> Any:
        for i in range(number):
            place = (Place.READY, Place.READY, Place.READY, Place.DELAYED, Place.KEYED)[i % 5]
            task = a_task(
                id=TaskId(f"waiting{i:09}"),
                provider=f"p{i % 3}",
                priority=i % 4,
                not_before=NOW + 1e6 if place is Place.DELAYED else 0.0,
                concurrency_key="key" if place is Place.KEYED else None,
                deadline=NOW + 1e7,
            )
            yield values_to_insert(task, place=place, unmet=0, excerpt="x", envelope=None)
        for i in range(number // 2):
            task = a_task(id=TaskId(f"ended{i:011}"), state=TaskState.DONE, deadline=NOW + 1)
            yield values_to_insert(task, place=Place.ENDED, unmet=0, excerpt="x", envelope=None)

    def operation(connection: apsw.Connection) -> None:
        connection.executemany(INSERT, rows())
        connection.execute("INSERT INTO task_contents SELECT seq, 'x', NULL FROM tasks")

    return operation


class Counted:
    """A store of one size, and the steps of its connections."""

    def __init__(self, store: SqliteTaskStore, database: Database) -> None:
        self.store = store
        self._database = database
        self.steps = 0
        self.statements: list[tuple[int, str]] = []

    async def watch(self) -> None:
        await self._database.write(self._hook)
        await self._database.read(self._hook)

    def _hook(self, connection: apsw.Connection) -> None:
        connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, self._profile)

    def _profile(self, event: dict[str, Any]) -> None:
        steps = event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]
        self.steps += steps
        self.statements.append((steps, event["sql"]))

    async def cost(self, command: Command) -> int:
        self.steps = 0
        self.statements.clear()
        await command(self.store)
        return self.steps


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[tuple[Counted, Counted]]:
    counted = []
    for number in (FEW, MANY):
        store = await SqliteTaskStore.open(tmp_path / f"{number}.db")
        database = store._database
        await database.write(fill(number))
        found = Counted(store, database)
        await found.watch()
        counted.append(found)
    yield counted[0], counted[1]
    for found in counted:
        await found.store.close()


async def lease(store: SqliteTaskStore, limit: int = 4, allowed: LeaseFilter = ANY) -> tuple[Task, ...]:
    return (await store.lease(owner="d@1", limit=limit, seconds=30, allowed=allowed, now=NOW)).result


async def life(store: SqliteTaskStore) -> None:
    """All that happens to one task, from its submission to its second, last failure."""
    task = (await store.submit(a_task(idempotency_key="i", priority=9), envelope="e")).result[0]
    error = TaskError(kind=TroubleKind.NO_REPLY, reason="x")
    for state in (TaskState.RETRY, TaskState.DEAD):
        (leased,) = await lease(store, 1)
        assert leased.id == task.id
        assert leased.lease is not None
        token = leased.lease.token
        await store.stage(task.id, token, to=Stage.TYPED, conversation=None, now=NOW)
        await store.renew(task.id, token, seconds=30, now=NOW)
        await store.settle(TaskSettle(id=task.id, token=token, state=state, error=error), now=NOW)
    await store.retry(task.id, resend=False, by="", now=NOW)
    await store.cancel(task.id, reason="", by="", now=NOW)


async def keyed(store: SqliteTaskStore) -> None:
    """A key with thousands of waiting tasks passes from one to the next."""
    first = (await store.submit(a_task(concurrency_key="key", priority=8))).result[0]
    await store.cancel(first.id, reason="", by="", now=NOW)


async def dependent(store: SqliteTaskStore) -> None:
    first = (await store.submit(a_task())).result[0]
    await store.submit(a_task(depends_on=(first.id,)))
    await store.cancel(first.id, reason="", by="", now=NOW)


COMMANDS: dict[str, Command] = {
    "lease": lease,
    "lease of one account": lambda store: lease(
        store, allowed=LeaseFilter(only_keys=frozenset({"p2/default"}))
    ),
    "lease without two providers": lambda store: lease(
        store, allowed=LeaseFilter(without_providers=frozenset({"p0", "p1"}))
    ),
    "lease where two providers take turns": lambda store: lease(
        store, allowed=LeaseFilter(one_at_a_time=frozenset({"p0", "p1"}))
    ),
    "life": life,
    "keyed": keyed,
    "dependent": dependent,
    "sweep": lambda store: store.sweep(now=NOW),
    "release": lambda store: store.release("d@1", task_id=None, loss=False, reason="", now=NOW),
    "counts": lambda store: store.counts(now=NOW),
    "get": lambda store: store.get(TaskId("waiting000000100")),
    "page": lambda store: store.page(states=(), provider=None, limit=50, after=None),
    "page of states": lambda store: store.page(
        states=(TaskState.PENDING, TaskState.RUNNING), provider=None, limit=50, after=None
    ),
    "history": lambda store: store.history(TaskId("waiting000000100")),
}


async def test_no_command_costs_more_beside_a_large_backlog(stores: tuple[Counted, Counted]) -> None:
    few, many = stores
    for name, command in COMMANDS.items():
        small, large = await few.cost(command), await many.cost(command)
        assert 0 < large <= 1.5 * small + 50, (name, small, large, sorted(many.statements)[-3:])
