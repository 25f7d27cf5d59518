"""Tasks in SQLite: each method of the port is one operation of the writer, or of the reader."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import apsw

from infra.sqlite import Database, DatabaseStatistics, load_migrations
from infra.tasks.ids import new_lease_token
from infra.tasks.port import Changed, LeaseFilter
from infra.tasks.rows import COLUMNS, Row, row_from, with_contents
from infra.tasks.transaction import TaskTransaction, find
from kernel import transitions
from kernel.messages import QueueCounts, TaskPage, TaskSettle
from kernel.submission import MAX_PRIORITY
from kernel.tasks import LeaseToken, Stage, Task, TaskEvent, TaskId, TaskState
from kernel.transitions import Refusal, Step
from nerv.errors import ErrorCode, ErrorInfo, NervError, invalid

APPLICATION_ID = 0x4E525651  # "NRVQ"
LEASE_ROUNDS = 20
"""How often one lease looks for more candidates after tasks that were past their deadline."""
WAKE_LIMIT = 500
MAX_LANES = 10_000

T = TypeVar("T")


class SqliteTaskStore:
    """See :class:`infra.tasks.port.TaskStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, path: Path) -> SqliteTaskStore:
        migrations = load_migrations("infra.tasks")
        return cls(await Database.open(path, migrations, application_id=APPLICATION_ID))

    async def close(self) -> None:
        await self._database.close()

    def statistics(self) -> DatabaseStatistics:
        return self._database.statistics()

    # -- users --------------------------------------------------------------------------------------------

    async def submit(self, task: Task, *, envelope: str | None = None) -> Changed[tuple[Task, bool]]:
        def operation(work: TaskTransaction) -> tuple[Task, bool]:
            row = work.insert(task, envelope=envelope)
            if row is not None:
                return row.task, False
            return _known(work.connection, task, envelope), True

        return await self._write(operation, now=task.created_at)

    async def get(self, task_id: TaskId) -> Task:
        return await self._database.read(lambda db: with_contents(db, find(db, task_id)))

    async def page(
        self, *, states: tuple[TaskState, ...], provider: str | None, limit: int, after: str | None
    ) -> TaskPage:
        before = _cursor(after)

        def operation(connection: apsw.Connection) -> TaskPage:
            return _page(connection, states or None, provider, limit, before)

        return await self._database.read(operation)

    async def history(self, task_id: TaskId) -> tuple[TaskEvent, ...]:
        def operation(connection: apsw.Connection) -> tuple[TaskEvent, ...]:
            row = find(connection, task_id)
            rows = connection.execute(
                "SELECT at, attempt, change, by, detail FROM task_events WHERE task = ? ORDER BY number",
                (row.seq,),
            )
            return tuple(
                TaskEvent(task_id=row.task.id, at=at, attempt=attempt, change=change, by=by, detail=detail)
                for at, attempt, change, by, detail in rows
            )

        return await self._database.read(operation)

    async def counts(self, *, now: float) -> QueueCounts:
        def operation(connection: apsw.Connection) -> QueueCounts:
            counted: Iterable[Any] = connection.execute("SELECT state, number FROM task_counts")
            return QueueCounts(states=dict(counted), oldest_wait=_oldest_wait(connection, now))

        return await self._database.read(operation)

    async def cancel(self, task_id: TaskId, *, reason: str, by: str, now: float) -> Changed[Task]:
        return await self._move(
            task_id, lambda row: transitions.cancel(row.task, reason=reason, by=by, now=now), now=now
        )

    async def retry(self, task_id: TaskId, *, resend: bool, by: str, now: float) -> Changed[Task]:
        return await self._move(
            task_id, lambda row: transitions.retry(row.task, resend=resend, by=by, now=now), now=now
        )

    # -- workers ------------------------------------------------------------------------------------------

    async def lease(
        self, *, owner: str, limit: int, seconds: float, allowed: LeaseFilter, now: float
    ) -> Changed[tuple[Task, ...]]:
        def operation(work: TaskTransaction) -> tuple[Task, ...]:
            work.wake_delayed(WAKE_LIMIT)
            leased: list[Task] = []
            for _ in range(LEASE_ROUNDS):
                candidates = _ready(work.connection, allowed, limit - len(leased))
                if not candidates:
                    break
                for row in candidates:
                    step = transitions.lease(
                        row.task, token=new_lease_token(), owner=owner, seconds=seconds, now=now
                    )
                    if isinstance(step, Step):
                        work.apply(row, step)
                        leased.append(with_contents(work.connection, row._replace(task=step.task)))
                    else:
                        _apply(work, row, transitions.expire(row.task, now=now))
                if len(leased) >= limit:
                    break
            return tuple(leased)

        return await self._write(operation, now=now)

    async def renew(self, task_id: TaskId, token: LeaseToken, *, seconds: float, now: float) -> Changed[Task]:
        return await self._move(
            task_id, lambda row: transitions.renew(row.task, token=token, seconds=seconds, now=now), now=now
        )

    async def stage(
        self, task_id: TaskId, token: LeaseToken, *, to: Stage, conversation: str | None, now: float
    ) -> Changed[Task]:
        return await self._move(
            task_id,
            lambda row: transitions.stage(row.task, token=token, to=to, conversation=conversation, now=now),
            now=now,
        )

    async def settle(self, command: TaskSettle, *, now: float) -> Changed[Task]:
        def operation(work: TaskTransaction) -> Task | NervError:
            row = work.find(command.id)
            if row.settled_token == command.token and row.task.state is command.state:
                return row.task
            step = transitions.settle(row.task, command, now=now)
            if isinstance(step, Refusal):
                return work.audit(row, step)
            return work.apply(row, step, settled_token=command.token)

        return await self._write(operation, now=now)

    async def release(
        self, owner: str, *, task_id: TaskId | None, loss: bool, reason: str, now: float
    ) -> Changed[tuple[TaskId, ...]]:
        def operation(work: TaskTransaction) -> tuple[TaskId, ...]:
            held = work.connection.execute(
                f"SELECT {COLUMNS} FROM tasks WHERE place = 5 AND lease_owner = ?1 AND (?2 IS NULL OR id = ?2)",
                (owner, task_id),
            ).fetchall()
            rows = [row_from(values) for values in held]
            for row in rows:
                _apply(
                    work, row, transitions.release(row.task, owner=owner, loss=loss, reason=reason, now=now)
                )
            return tuple(row.task.id for row in rows)

        return await self._write(operation, now=now)

    async def sweep(self, *, now: float, limit: int = 500) -> Changed[int]:
        def operation(work: TaskTransaction) -> int:
            found: list[tuple[Any, ...]] = work.connection.execute(
                "SELECT seq FROM tasks WHERE place = 5 AND lease_until <= ? ORDER BY lease_until LIMIT ?",
                (now, limit),
            ).fetchall()
            found += work.connection.execute(
                "SELECT seq FROM tasks WHERE place IN (1, 2, 3, 4) AND deadline <= ? ORDER BY deadline LIMIT ?",
                (now, limit),
            ).fetchall()
            for (seq,) in found:
                row = work.by_seq(seq)  # one that was swept before may have taken this one with it
                step = transitions.expire(row.task, now=now)
                if isinstance(step, Step):
                    work.apply(row, step)
            return len(found) + work.wake_delayed(limit)

        return await self._write(operation, now=now)

    # -- inside -------------------------------------------------------------------------------------------

    async def _move(
        self, task_id: TaskId, rule: Callable[[Row], Step | Refusal], *, now: float
    ) -> Changed[Task]:
        def operation(work: TaskTransaction) -> Task | NervError:
            row = work.find(task_id)
            step = rule(row)
            if isinstance(step, Refusal):
                return work.audit(row, step)
            return work.apply(row, step)

        return await self._write(operation, now=now)

    async def _write(
        self, operation: Callable[[TaskTransaction], T | NervError], *, now: float
    ) -> Changed[T]:
        """A refusal that was audited comes back as a value, so that its row is committed; then it is raised."""

        def run(connection: apsw.Connection) -> tuple[T | NervError, tuple[Task, ...]]:
            work = TaskTransaction(connection, now)
            result = operation(work)
            return result, tuple(work.changed.values())

        result, tasks = await self._database.write(run)
        if isinstance(result, NervError):
            raise result
        return Changed(result, tasks)


def _apply(work: TaskTransaction, row: Row, step: Step | Refusal) -> None:
    if isinstance(step, Refusal):
        raise NervError(step.error)
    work.apply(row, step)


def _known(connection: apsw.Connection, task: Task, envelope: str | None) -> Task:
    """The task that this envelope, or this idempotency key, has made before."""
    values = connection.execute(f"SELECT {COLUMNS} FROM tasks WHERE envelope = ?", (envelope,)).fetchone()
    if values is not None:
        return row_from(values).task
    values = connection.execute(
        f"SELECT {COLUMNS} FROM tasks WHERE idempotency_key = ?", (task.idempotency_key,)
    ).fetchone()
    if values is None:
        raise NervError(
            ErrorInfo(code=ErrorCode.CONFLICT, reason=f"there is a task {task.id} already", field="id")
        )
    row = row_from(values)
    found = with_contents(connection, row)
    if (found.provider, found.prompt) != (task.provider, task.prompt):
        raise NervError(
            ErrorInfo(
                code=ErrorCode.CONFLICT,
                reason=f"this key belongs to task {found.id}, which has another provider or prompt",
                field="idempotency_key",
                fix="use a key of its own for each piece of work",
            )
        )
    return row.task


def _lanes(connection: apsw.Connection) -> list[tuple[str, str]]:
    """Every (provider, account) with a ready task."""
    lanes: list[Any] = connection.execute(LANES, (MAX_LANES,)).fetchall()
    return lanes


LANES = """
WITH RECURSIVE head (seq) AS (
    SELECT (SELECT seq FROM tasks WHERE place = 1 ORDER BY provider, account LIMIT 1)
    UNION ALL
    SELECT coalesce(
        (
            SELECT next.seq FROM tasks AS next
            WHERE next.place = 1 AND next.provider = here.provider AND next.account > here.account
            ORDER BY next.provider, next.account LIMIT 1
        ),
        (
            SELECT next.seq FROM tasks AS next
            WHERE next.place = 1 AND next.provider > here.provider
            ORDER BY next.provider, next.account LIMIT 1
        )
    )
    FROM head JOIN tasks AS here ON here.seq = head.seq
)
SELECT here.provider, here.account FROM head JOIN tasks AS here ON here.seq = head.seq LIMIT ?
"""
"""Skips through the index, two seeks for each lane. A comparison of the pair as a row value would use the index
for its first column only, and read all of it."""

READY_OF_LANE = f"""
SELECT {COLUMNS} FROM tasks WHERE place = 1 AND provider = ? AND account = ?
ORDER BY priority DESC, seq LIMIT ?
"""

LEASED_OF_LANE = "SELECT 1 FROM tasks WHERE place = 5 AND provider = ? AND account = ? LIMIT 1"


def _ready(connection: apsw.Connection, allowed: LeaseFilter, limit: int) -> list[Row]:
    """The ``limit`` first ready tasks, from the heads of all lanes that are allowed."""
    if limit < 1:
        return []
    found: list[Row] = []
    for provider, account in _lanes(connection):
        if allowed.admits(provider, account):
            alone = provider in allowed.one_at_a_time
            if alone and connection.execute(LEASED_OF_LANE, (provider, account)).fetchone():
                continue
            rows = connection.execute(READY_OF_LANE, (provider, account, 1 if alone else limit)).fetchall()
            found.extend(row_from(values) for values in rows)
    return heapq.nsmallest(limit, found, key=lambda row: (-row.task.priority, row.seq))


def _oldest_wait(connection: apsw.Connection, now: float) -> float:
    """Seconds since the oldest ready task was created or came due, from the head of each lane and priority."""
    oldest = now
    for provider, account in _lanes(connection):
        below = 1 << 40
        for _ in range(2 * MAX_PRIORITY + 1):
            head: tuple[Any, ...] | None = connection.execute(
                "SELECT priority, created_at, not_before FROM tasks WHERE place = 1 AND provider = ? "
                "AND account = ? AND priority < ? ORDER BY priority DESC, seq LIMIT 1",
                (provider, account, below),
            ).fetchone()
            if head is None:
                break
            oldest = min(oldest, max(head[1], head[2]))
            below = head[0]
    return now - oldest


def _page(
    connection: apsw.Connection,
    states: tuple[TaskState, ...] | None,
    provider: str | None,
    limit: int,
    before: int,
) -> TaskPage:
    """Newest first. Each state is read by its own index; the newest of all of them are kept."""
    found: list[Row] = []
    condition = "seq < ?1 AND (?2 IS NULL OR provider = ?2)"
    for state in dict.fromkeys(states) if states else (None,):
        where = f"{condition} AND state = ?4" if state else condition
        values = (before, provider, limit + 1) + ((state.value,) if state else ())
        rows = connection.execute(
            f"SELECT {COLUMNS} FROM tasks WHERE {where} ORDER BY seq DESC LIMIT ?3", values
        ).fetchall()
        found.extend(row_from(row) for row in rows)
    found.sort(key=lambda row: -row.seq)
    shown = found[:limit]
    more = len(found) > limit
    return TaskPage(tasks=tuple(row.task for row in shown), next=str(shown[-1].seq) if more else None)


def _cursor(after: str | None) -> int:
    if after is None:
        return 1 << 62
    if not after.isdecimal():
        raise NervError(
            invalid(f"{after!r} is no place to go on from", field="after", fix="use a page's `next`")
        )
    return int(after)
