"""Working with tasks from outside: submit, follow a reply as it grows. On any client or peer of the bus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Protocol, TypeVar

import msgspec

from kernel.messages import (
    QUEUE,
    STORE,
    Delta,
    ReplyDelta,
    ReplyRead,
    ReplyView,
    TaskAccepted,
    TaskChanged,
    TaskGet,
    TaskSubmit,
)
from kernel.replies import ReplyText
from kernel.tasks import FINAL_STATES, Task, TaskId, TaskState
from nerv.bus.vocabulary import Command, Message, R
from nerv.errors import Disconnected, ErrorCode, ErrorInfo, NervError

POLL_SECONDS = 3.0
"""The task itself is asked for this often: events are hints, the queue is the truth."""
REQUEST_SECONDS = 30.0
EVENT_CAPACITY = 1024

_AWAY = frozenset(
    {
        ErrorCode.BUSY,
        ErrorCode.DEADLINE,
        ErrorCode.DISCONNECTED,
        ErrorCode.PEER_LOST,
        ErrorCode.STOPPING,
        ErrorCode.UNDELIVERABLE,
    }
)

T_co = TypeVar("T_co", covariant=True)


def is_away(error: NervError) -> bool:
    """Nobody has answered: true of a cluster that restarts, and no word about the task."""
    return error.code in _AWAY


class _Event(Protocol):
    @property
    def message(self) -> Message: ...
    @property
    def gap(self) -> int: ...


class _Subscription(Protocol):
    async def __aenter__(self) -> Any: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __aiter__(self) -> AsyncIterator[Any]: ...


class Bus(Protocol):
    """What is needed of a client: :class:`nerv.Client` and every actor's peer have it."""

    async def request(self, target: str, message: Command[R], *, timeout: float = ...) -> R: ...
    def subscribe(self, *topics: str, capacity: int = ...) -> Any: ...


class ReplyProgress(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a reply.

    ``delta``: the next piece of attempt ``attempt``, in order and without gaps. ``restarted``: another attempt
    began to answer, what was shown so far is void. ``task``: the task changed; a final one is the last step, and
    has the sealed ``text`` with it if it is DONE.
    """

    attempt: int
    delta: Delta | None = None
    restarted: bool = False
    task: Task | None = None
    text: str | None = None

    @property
    def final(self) -> bool:
        return self.task is not None and self.task.state in FINAL_STATES


async def submit(bus: Bus, message: TaskSubmit, *, timeout: float = REQUEST_SECONDS) -> TaskAccepted:
    """Returns once the task is committed; raises :class:`NervError` with the field that is wrong."""
    return await bus.request(QUEUE, message, timeout=timeout)


async def get(bus: Bus, task_id: TaskId, *, timeout: float = REQUEST_SECONDS) -> Task:
    view = await bus.request(QUEUE, TaskGet(id=task_id), timeout=timeout)
    return view.task


async def read_reply(
    bus: Bus, task_id: TaskId, *, attempt: int = 0, after: int = 0, timeout: float = REQUEST_SECONDS
) -> ReplyView:
    return await bus.request(STORE, ReplyRead(task=task_id, attempt=attempt, after=after), timeout=timeout)


async def follow(
    bus: Bus, task_id: TaskId, *, patience: float = 60.0, poll: float = POLL_SECONDS
) -> AsyncIterator[ReplyProgress]:
    """The reply as it grows, from its beginning, to the task's end; gaps are filled from the store.

    A cluster that restarts meanwhile is waited for, up to ``patience`` seconds without any answer from it. Ends
    after the step that is ``final``. Raises :class:`NervError`: NOT_FOUND, or what the cluster last said.
    Bound the whole with ``asyncio.timeout`` where it must not take longer than so.
    """
    subscription = bus.subscribe(f"task.{task_id}", f"reply.{task_id}", capacity=EVENT_CAPACITY)
    async with subscription as events:
        state = _Following(bus, task_id, patience)
        async for step in state.catch_up():
            yield step
        pending: asyncio.Task[Any] | None = None
        iterator = aiter(events)
        try:
            while not state.ended:
                if pending is None:
                    pending = asyncio.ensure_future(anext(iterator))
                await asyncio.wait((pending,), timeout=poll)
                if not pending.done():
                    steps = state.catch_up()
                else:
                    event, pending = _take(pending), None
                    steps = state.heed(event)
                async for step in steps:
                    yield step
        finally:
            if pending is not None:
                pending.cancel()
                await asyncio.wait((pending,))


def _take(pending: asyncio.Task[Any]) -> Any:
    try:
        return pending.result()
    except StopAsyncIteration:
        raise Disconnected(
            ErrorInfo(code=ErrorCode.DISCONNECTED, reason="the subscription was closed")
        ) from None


class _Following:
    """Where one follower stands: which attempt, how much text, which state was shown last."""

    def __init__(self, bus: Bus, task_id: TaskId, patience: float) -> None:
        self.ended = False
        self._bus = bus
        self._id = task_id
        self._patience = patience
        self._heard = time.monotonic()
        self._attempt = 0
        self._text = ReplyText()
        self._shown: tuple[TaskState, int, str] | None = None

    async def heed(self, event: _Event) -> AsyncIterator[ReplyProgress]:
        self._heard = time.monotonic()
        message = event.message
        if event.gap:
            async for step in self.catch_up():
                yield step
        elif isinstance(message, ReplyDelta):
            async for step in self._deltas(message.attempt, message.deltas):
                yield step
        elif isinstance(message, TaskChanged):
            async for step in self._task(message.task):
                yield step

    async def catch_up(self) -> AsyncIterator[ReplyProgress]:
        """The truth from queue and store; silence is borne for a while."""
        try:
            task = await get(self._bus, self._id, timeout=min(REQUEST_SECONDS, self._patience))
            async for step in self._fill():
                yield step
            async for step in self._task(task):
                yield step
        except NervError as error:
            if not is_away(error) or time.monotonic() - self._heard > self._patience:
                raise
        else:
            self._heard = time.monotonic()

    async def _deltas(self, attempt: int, deltas: tuple[Delta, ...]) -> AsyncIterator[ReplyProgress]:
        if attempt < self._attempt:
            return
        if attempt > self._attempt:
            restart = self._begin(attempt)
            if restart is not None:
                yield restart
        taken = self._text.add(deltas)
        if taken is None:
            async for step in self._fill():
                yield step
            return
        for delta in taken:
            yield ReplyProgress(attempt=attempt, delta=delta)

    async def _fill(self) -> AsyncIterator[ReplyProgress]:
        """Everything the store has that was not shown yet; first of all whether a newer attempt has begun."""
        while True:
            restart = None
            try:
                view = await read_reply(self._bus, self._id, after=self._text.next_seq - 1)
                if view.attempt > self._attempt:
                    restart = self._begin(view.attempt)
                    view = await read_reply(self._bus, self._id, attempt=self._attempt)
            except NervError as error:
                if not is_away(error):
                    raise
                view = None
            if restart is not None:
                yield restart
            if view is None or view.attempt != self._attempt:
                return  # nobody answered: the next event or poll tries again
            taken = self._text.add(view.deltas)
            if not taken:
                return
            for delta in taken:
                yield ReplyProgress(attempt=self._attempt, delta=delta)

    async def _task(self, task: Task) -> AsyncIterator[ReplyProgress]:
        now = (task.state, task.attempt, task.stage.value)
        if now == self._shown or self.ended:
            return
        if task.state not in FINAL_STATES:
            self._shown = now
            yield ReplyProgress(attempt=self._attempt, task=task)
            return
        async for step in self._fill():
            yield step
        text = None
        if task.state is TaskState.DONE:
            text = await self._sealed()
            if text is None:
                return  # the store is away: the next poll asks again
        self._shown = now
        self.ended = True
        yield ReplyProgress(attempt=self._attempt, task=task, text=text)

    async def _sealed(self) -> str | None:
        try:
            view = await read_reply(self._bus, self._id, after=1 << 40)
        except NervError as error:
            if not is_away(error):
                raise
            return None
        if view.text is None:
            raise NervError(
                ErrorInfo(
                    code=ErrorCode.INTERNAL,
                    reason=f"task {self._id} is DONE and the store has no reply of it",
                    fix="see whether replies.db was restored from an older backup than tasks.db",
                )
            )
        return view.text

    def _begin(self, attempt: int) -> ReplyProgress | None:
        """Another attempt answers; what was shown of the one before is void."""
        had_text = self._text.next_seq > 1
        self._attempt = attempt
        self._text = ReplyText()
        return ReplyProgress(attempt=attempt, restarted=True) if had_text else None
