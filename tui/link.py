"""Keeps a model fed: connects, takes snapshots, listens, repairs gaps, and begins again when the cluster is gone."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol, Self

from kernel.messages import (
    KERNEL,
    QUEUE,
    STORE,
    ProviderList,
    QueueStats,
    ReplyRead,
    TaskList,
)
from kernel.tasks import TaskId
from nerv.bus.vocabulary import Command, Message, R
from nerv.errors import DeadlineExceeded, ErrorCode, ErrorInfo, NervError
from nerv.messages import SUPERVISOR, SupervisorStatus
from tui.model import MAX_TASKS, ClusterModel

TOPICS = ("actor.", "tick.", "task.", "peer.", "log.")
EVENT_CAPACITY = 4096
REQUEST_SECONDS = 3.0
CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 1.0
STATUS_SECONDS = 2.0
COUNTS_SECONDS = 5.0
COUNTS_BUSY_SECONDS = 1.0
TASKS_SECONDS = 15.0
PROVIDERS_SECONDS = 5.0
STEP_SECONDS = 0.25
LOST_AFTER_FAILURES = 3
"""So many questions to the supervisor in a row without an answer, and the connection is made anew."""
BACKOFF_SECONDS = (0.25, 0.5, 1.0, 2.0)


class BusEvent(Protocol):
    """An event as nerv.Client gives it: ``gap`` events of its source were missed before it."""

    @property
    def message(self) -> Message: ...
    @property
    def gap(self) -> int: ...


class BusSubscription(Protocol):
    def __aiter__(self) -> AsyncIterator[BusEvent]: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    @property
    def attached(self) -> int:
        """Grows when the broker was lost and found: events may be missing without a gap in their numbers."""
        ...


class BusClient(Protocol):
    """What the monitor needs of a client; nerv.Client has it, and a test can have it."""

    @property
    def connected(self) -> bool: ...
    async def request(self, target: str, message: Command[R], *, timeout: float = 30.0) -> R: ...
    def subscribe(self, *topics: str, capacity: int = 1024) -> BusSubscription: ...


Connect = Callable[[], AbstractAsyncContextManager[BusClient]]


class _ConnectionDead(Exception):
    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(str(info))
        self.info = info


class Feed:
    """Feeds ``model`` until it is cancelled. ``client`` is the present connection, None while there is none."""

    def __init__(self, model: ClusterModel, connect: Connect, clock: Callable[[], float]) -> None:
        self.model = model
        self.client: BusClient | None = None
        self._connect = connect
        self._clock = clock
        self._selection = asyncio.Event()
        self._wake_status = asyncio.Event()

    def select(self, task_id: TaskId | None) -> None:
        """Follow the reply of this task from now on."""
        if self.model.select(task_id):
            self._selection.set()

    def refresh_soon(self) -> None:
        """Ask for all snapshots again without waiting for their turn."""
        self.model.resync()
        self._wake_status.set()

    async def run(self) -> None:
        """Connect, feed, and connect again with growing pauses (at most 2 s, with jitter). Ends when cancelled."""
        failures = 0
        while True:
            heard_before = self.model.heard_at
            error = await self._one_connection()
            failures = 1 if self.model.heard_at != heard_before else failures + 1
            pause = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS)) - 1] * random.uniform(0.75, 1.25)
            self.model.link_down(error, next_attempt_at=self._clock() + pause)
            await asyncio.sleep(pause)

    async def _one_connection(self) -> ErrorInfo:
        """Feed through one connection until it is dead; returns why."""
        try:
            connection = self._connect()
            async with asyncio.timeout(CONNECT_SECONDS):
                client = await connection.__aenter__()
        except TimeoutError:
            return ErrorInfo(code=ErrorCode.DISCONNECTED, reason="nothing answers at the cluster's socket")
        except NervError as error:
            return error.info
        except OSError as error:
            return ErrorInfo(code=ErrorCode.DISCONNECTED, reason=str(error))
        try:
            await self._session(client)
        except BaseExceptionGroup as group:
            _, unexpected = group.split((_ConnectionDead, NervError))
            if unexpected is not None:
                raise unexpected from None
            return _first(group)
        finally:
            self.client = None
            # A client that cannot say good-bye must not keep the monitor from connecting again, or from ending.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await connection.__aexit__(None, None, None)
        raise AssertionError("a session ends only by an error")

    async def _session(self, client: BusClient) -> None:
        async with asyncio.TaskGroup() as group:
            async with client.subscribe(*TOPICS, capacity=EVENT_CAPACITY) as events:
                self.client = client
                self.model.link_up()
                group.create_task(self._watch_link(client, events))
                group.create_task(self._watch_status(client))
                group.create_task(self._watch_counts(client))
                group.create_task(self._watch_tasks(client))
                group.create_task(self._watch_providers(client))
                group.create_task(self._watch_reply(client, group))
                async for event in events:
                    self.model.apply_event(event.message, event.gap, self._clock())
            raise _ConnectionDead(ErrorInfo(code=ErrorCode.DISCONNECTED, reason="the client was closed"))

    # -- one loop for each source, so that a dead one does not delay the others -----------------------------------

    async def _watch_link(self, client: BusClient, events: BusSubscription) -> None:
        """The client finds a new broker by itself; the model must know when it has none, and resync when it has."""
        attached = events.attached
        while True:
            await asyncio.sleep(STEP_SECONDS)
            if not client.connected:
                if self.model.attached:
                    self.model.link_suspended(
                        ErrorInfo(
                            code=ErrorCode.DISCONNECTED, reason="the bus does not answer; looking for it"
                        )
                    )
            elif not self.model.attached or events.attached != attached:
                attached = events.attached
                self.model.link_up()
                self._wake_status.set()

    async def _watch_status(self, client: BusClient) -> None:
        failures = 0
        while True:
            self._wake_status.clear()
            try:
                status = await self._ask(client, SUPERVISOR, SupervisorStatus())
            except NervError as error:
                failures += 1
                if failures >= LOST_AFTER_FAILURES:
                    raise _ConnectionDead(error.info) from error
            else:
                failures = 0
                self.model.apply_status(status, self._clock())
            try:
                async with asyncio.timeout(STATUS_SECONDS if not failures else STEP_SECONDS):
                    await self._wake_status.wait()
            except TimeoutError:
                continue

    async def _watch_counts(self, client: BusClient) -> None:
        async def ask() -> None:
            self.model.counts_dirty = False
            counts = await self._ask(client, QUEUE, QueueStats())
            self.model.apply_counts(counts, self._clock())

        await self._repeat(
            ask, COUNTS_SECONDS, lambda waited: self.model.counts_dirty and waited >= COUNTS_BUSY_SECONDS
        )

    async def _watch_tasks(self, client: BusClient) -> None:
        async def ask() -> None:
            self.model.needs_resync = False
            page = await self._ask(client, QUEUE, TaskList(limit=MAX_TASKS))
            self.model.apply_tasks(page, self._clock())

        await self._repeat(
            ask, TASKS_SECONDS, lambda waited: self.model.needs_resync and waited >= COUNTS_BUSY_SECONDS
        )

    async def _watch_providers(self, client: BusClient) -> None:
        async def ask() -> None:
            page = await self._ask(client, KERNEL, ProviderList())
            self.model.apply_providers(page, self._clock())

        await self._repeat(ask, PROVIDERS_SECONDS, lambda waited: False)

    async def _watch_reply(self, client: BusClient, group: asyncio.TaskGroup) -> None:
        following: asyncio.Task[None] | None = None
        while True:
            self._selection.clear()
            if following is not None:
                following.cancel()
            task_id = self.model.reply.task if self.model.reply else None
            following = group.create_task(self._follow(client, task_id)) if task_id is not None else None
            await self._selection.wait()

    async def _follow(self, client: BusClient, task_id: TaskId) -> None:
        """Subscribe first, then read: what happens between the two is in one of them."""
        async with (
            client.subscribe(f"reply.{task_id}", capacity=EVENT_CAPACITY) as events,
            asyncio.TaskGroup() as group,
        ):
            reading = group.create_task(self._read_when_wanted(client, task_id))
            async for event in events:
                self.model.apply_event(event.message, event.gap, self._clock())
            reading.cancel()

    async def _read_when_wanted(self, client: BusClient, task_id: TaskId) -> None:
        while True:
            reply = self.model.reply
            if reply is not None and reply.task == task_id and reply.wants_read:
                try:
                    question = ReplyRead(task=task_id, after=reply.last_seq)
                    view = await self._ask(client, STORE, question)
                except NervError as error:
                    if error.code is ErrorCode.NOT_FOUND:
                        reply.wants_read = False  # no reply has begun; its first delta will come as an event
                    else:
                        await asyncio.sleep(REQUEST_SECONDS / 3)
                else:
                    self.model.apply_reply(view, self._clock())
            await asyncio.sleep(STEP_SECONDS)

    # -- within -----------------------------------------------------------------------------------------------

    async def _repeat(
        self, ask: Callable[[], Awaitable[None]], period: float, early: Callable[[float], bool]
    ) -> None:
        """``ask`` every ``period`` seconds, or sooner when ``early(seconds waited)``; failures are shown, not fatal."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            failed = False
            try:
                await ask()
            except NervError:
                failed = True
            pause = 1.0 if failed else period
            await asyncio.sleep(STEP_SECONDS)
            while (waited := loop.time() - started) < pause and not early(waited):  # noqa: ASYNC110 - early() is a poll
                await asyncio.sleep(STEP_SECONDS)

    async def _ask(self, client: BusClient, target: str, message: Command[R]) -> R:
        """The typed reply; a failure is noted in the model under the target's name, and raised."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS + 1.0):
                answer = await client.request(target, message, timeout=REQUEST_SECONDS)
        except NervError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                self.model.problem(target, error.info)
            raise
        except TimeoutError:
            info = ErrorInfo(code=ErrorCode.DEADLINE, reason=f"{target} did not answer")
            self.model.problem(target, info)
            raise DeadlineExceeded(info) from None
        self.model.problem(target, None)
        return answer


def _first(group: BaseExceptionGroup[BaseException]) -> ErrorInfo:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, _ConnectionDead | NervError)
    return error.info
