"""The queue process: owns the tasks. Each answer leaves after its commit, each event after that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import msgspec

from drivers.recipes import Catalog
from infra.tasks import EXCERPT_CHARS, LeaseFilter, SqliteTaskStore
from infra.tasks.ids import new_task_id
from kernel.messages import (
    LeaseUntil,
    QueueCounts,
    QueueStats,
    TaskAccepted,
    TaskCancel,
    TaskChanged,
    TaskEvents,
    TaskGet,
    TaskHistory,
    TaskLease,
    TaskLeases,
    TaskList,
    TaskPage,
    TaskRelease,
    TaskRenew,
    TaskRetry,
    TaskSettle,
    TasksReleased,
    TaskStage,
    TaskSubmit,
    TaskView,
)
from kernel.submission import task_from
from kernel.tasks import Task
from kernel.transitions import MAX_LEASE_SECONDS
from nerv.actor import Actor, Context, handles
from nerv.errors import ErrorInfo, NervError, invalid
from nerv.messages import Ok
from nerv.settings import decode_settings

DATABASE_NAME = "tasks.db"
SWEEP_SECONDS = 1.0
MAX_PAGE = 1_000
READ_SECONDS = 1.0
"""How long the names of providers are taken as known before the folders are read again."""


class QueueSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The queue takes no settings yet; whatever is given is refused by name."""


class Providers:
    """What of the recipes the queue must know, read at most once a second; at once where a name is not known."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._names: frozenset[str] = frozenset()
        self._one_thread: frozenset[str] = frozenset()
        self._until = 0.0

    def known(self, name: str) -> frozenset[str]:
        if name not in self._names:
            self._until = 0.0
        self._read()
        return self._names

    def one_thread(self) -> frozenset[str]:
        """Those whose tasks take turns."""
        self._read()
        return self._one_thread

    def _read(self) -> None:
        now = time.monotonic()
        if now >= self._until:
            self._names = frozenset(self._catalog.names())
            self._one_thread = self._catalog.one_thread()
            self._until = now + READ_SECONDS


class QueueActor(Actor):
    async def start(self) -> None:
        decode_settings(self.settings, QueueSettings, actor=self.name)
        self._providers = Providers(Catalog(user=self.instance.recipes))
        self._counts = QueueCounts(states={})
        self._tasks = await SqliteTaskStore.open(self.instance.data / DATABASE_NAME)
        self.background(self._sweep(), name="sweep")

    async def stop(self) -> None:
        await self._tasks.close()

    def gauges(self) -> dict[str, float]:
        statistics = self._tasks.statistics()
        depths = {f"tasks{{state={state}}}": float(number) for state, number in self._counts.states.items()}
        return depths | {
            "tasks_oldest_wait_seconds": self._counts.oldest_wait,
            "database_waiting": statistics.writer.waiting,
            "database_operations_total": statistics.writer.operations,
            "database_commits_total": statistics.writer.groups,
            "database_commit_seconds_total": statistics.writer.commit_seconds,
            "database_log_pages": statistics.log_pages,
        }

    # -- users --------------------------------------------------------------------------------------------

    @handles(TaskSubmit, ack="on_reply")
    async def submit(self, message: TaskSubmit, context: Context) -> TaskAccepted:
        task = task_from(
            message,
            id=new_task_id(),
            now=time.time(),
            providers=self._providers.known(message.provider),
            correlation=context.correlation,
            created_by=context.source,
        )
        if isinstance(task, ErrorInfo):
            raise NervError(task)
        changed = await self._tasks.submit(task, envelope=context.envelope.id)
        self._publish(changed.tasks)
        accepted, duplicate = changed.result
        return TaskAccepted(id=accepted.id, state=accepted.state, duplicate=duplicate)

    @handles(TaskGet)
    async def get(self, message: TaskGet, context: Context) -> TaskView:
        return TaskView(task=await self._tasks.get(message.id))

    @handles(TaskList)
    async def page(self, message: TaskList, context: Context) -> TaskPage:
        if not 1 <= message.limit <= MAX_PAGE:
            raise NervError(
                invalid(f"limit is {message.limit}", field="limit", fix=f"use a number from 1 to {MAX_PAGE}")
            )
        return await self._tasks.page(
            states=message.states, provider=message.provider, limit=message.limit, after=message.after
        )

    @handles(TaskHistory)
    async def history(self, message: TaskHistory, context: Context) -> TaskEvents:
        return TaskEvents(events=await self._tasks.history(message.id))

    @handles(TaskCancel, ack="on_reply")
    async def cancel(self, message: TaskCancel, context: Context) -> TaskView:
        changed = await self._tasks.cancel(
            message.id, reason=message.reason, by=context.source, now=time.time()
        )
        self._publish(changed.tasks)
        return TaskView(task=changed.result)

    @handles(TaskRetry, ack="on_reply")
    async def retry(self, message: TaskRetry, context: Context) -> TaskView:
        changed = await self._tasks.retry(
            message.id, resend=message.resend, by=context.source, now=time.time()
        )
        self._publish(changed.tasks)
        return TaskView(task=changed.result)

    @handles(QueueStats)
    async def stats(self, message: QueueStats, context: Context) -> QueueCounts:
        return await self._tasks.counts(now=time.time())

    # -- kernel and drivers -------------------------------------------------------------------------------

    @handles(TaskLease, ack="on_reply")
    async def lease(self, message: TaskLease, context: Context) -> TaskLeases:
        _check_seconds(message.seconds)
        if not 1 <= message.limit <= MAX_PAGE:
            raise NervError(
                invalid(f"limit is {message.limit}", field="limit", fix=f"use a number from 1 to {MAX_PAGE}")
            )
        if not message.owner:
            raise NervError(invalid("no owner is named", field="owner", fix="use `name@incarnation`"))
        allowed = LeaseFilter(
            without_providers=frozenset(message.without_providers),
            without_keys=frozenset(message.without_keys),
            only_keys=None if message.only_keys is None else frozenset(message.only_keys),
            one_at_a_time=self._providers.one_thread(),
        )
        changed = await self._tasks.lease(
            owner=message.owner,
            limit=message.limit,
            seconds=message.seconds,
            allowed=allowed,
            now=time.time(),
        )
        self._publish(changed.tasks)
        return TaskLeases(tasks=changed.result)

    @handles(TaskRenew, ack="on_reply")
    async def renew(self, message: TaskRenew, context: Context) -> LeaseUntil:
        _check_seconds(message.seconds)
        changed = await self._tasks.renew(message.id, message.token, seconds=message.seconds, now=time.time())
        assert changed.result.lease is not None
        return LeaseUntil(until=changed.result.lease.until)

    @handles(TaskStage, ack="on_reply")
    async def stage(self, message: TaskStage, context: Context) -> Ok:
        changed = await self._tasks.stage(
            message.id,
            message.token,
            to=message.stage,
            conversation=message.conversation,
            now=time.time(),
        )
        self._publish(changed.tasks)
        return Ok()

    @handles(TaskSettle, ack="on_reply")
    async def settle(self, message: TaskSettle, context: Context) -> TaskView:
        changed = await self._tasks.settle(message, now=time.time())
        self._publish(changed.tasks)
        return TaskView(task=changed.result)

    @handles(TaskRelease, ack="on_reply")
    async def release(self, message: TaskRelease, context: Context) -> TasksReleased:
        changed = await self._tasks.release(
            message.owner, task_id=message.id, loss=message.loss, reason=message.reason, now=time.time()
        )
        self._publish(changed.tasks)
        return TasksReleased(ids=changed.result)

    # -- inside -------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        """Leases that ran out, deadlines, delays; and the counts for the next tick."""
        while True:
            try:
                now = time.time()
                self._publish((await self._tasks.sweep(now=now)).tasks)
                self._counts = await self._tasks.counts(now=now)
            except NervError as error:  # a full disk or a full inbox: the next round tries again
                self.log.warning("sweep failed", error=str(error))
            await asyncio.sleep(SWEEP_SECONDS)

    def _publish(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            shown = task
            if len(task.prompt) > EXCERPT_CHARS or task.payload:
                shown = msgspec.structs.replace(task, prompt=task.prompt[:EXCERPT_CHARS], payload={})
            self.peer.publish(f"task.{task.id}", TaskChanged(task=shown), correlation=task.correlation)


def _check_seconds(seconds: float) -> None:
    if not 0 < seconds <= MAX_LEASE_SECONDS:
        raise NervError(
            invalid(
                f"a lease of {seconds} seconds",
                field="seconds",
                fix=f"use more than 0 and at most {MAX_LEASE_SECONDS:g}",
            )
        )
