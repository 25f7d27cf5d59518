"""Following a reply on a bus that loses events, restarts, and repeats itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from kernel import work
from kernel.messages import Delta, ReplyDelta, ReplyRead, ReplyView, TaskChanged, TaskGet, TaskView
from kernel.tasks import Finish, ReplySource, ReplySummary, Task, TaskId, TaskState
from kernel.work import ReplyProgress
from nerv.bus.vocabulary import Command, Message
from nerv.errors import Disconnected, ErrorCode, ErrorInfo, NervError, RemoteError
from tests.unit.kernel.make import a_task, running

SEAL = ReplySummary(attempt=1, source=ReplySource.WIRE, finish=Finish.COMPLETE, length=3, sha256="0" * 64)


class Event(NamedTuple):
    message: Message
    gap: int = 0


class ScriptedBus:
    """Queue and store as two attributes; events as a test puts them."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.replies: dict[int, list[Delta]] = {}
        self.text: str | None = None
        self.away = False
        self.reads = 0
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def put(self, message: Message, gap: int = 0) -> None:
        self._events.put_nowait(Event(message, gap))

    def deltas(self, *deltas: Delta, attempt: int = 1, tell: bool = True) -> None:
        self.replies.setdefault(attempt, []).extend(deltas)
        if tell:
            self.put(ReplyDelta(task=self.task.id, attempt=attempt, deltas=deltas))

    def end(self, state: TaskState = TaskState.DONE, text: str | None = "abc", tell: bool = True) -> None:
        self.task = replace(self.task, state=state, lease=None)
        self.text = text
        if tell:
            self.put(TaskChanged(task=self.task))

    async def request(self, target: str, message: Command[Any], *, timeout: float = 30.0) -> Any:
        await asyncio.sleep(0)
        if self.away:
            raise Disconnected(ErrorInfo(code=ErrorCode.DISCONNECTED, reason="away"))
        if isinstance(message, TaskGet):
            if message.id != self.task.id:
                raise RemoteError(ErrorInfo(code=ErrorCode.NOT_FOUND, reason="no such task", field="id"))
            return TaskView(task=self.task)
        assert isinstance(message, ReplyRead)
        self.reads += 1
        attempt = message.attempt or max(self.replies, default=0)
        kept = [delta for delta in self.replies.get(attempt, []) if delta.seq > message.after]
        sealed = SEAL if self.text is not None else None
        return ReplyView(
            task=self.task.id, attempt=attempt, deltas=tuple(kept), sealed=sealed, text=self.text
        )

    def subscribe(self, *topics: str, capacity: int = 1024) -> ScriptedBus:
        assert topics == (f"task.{self.task.id}", f"reply.{self.task.id}")
        return self

    async def __aenter__(self) -> ScriptedBus:
        return self

    async def __aexit__(self, *error: object) -> None:
        return None

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        return await self._events.get()


A, B, C = (Delta(seq=i, offset=i - 1, text=letter) for i, letter in enumerate("abc", start=1))


async def follow(bus: ScriptedBus, **options: Any) -> list[ReplyProgress]:
    options = {"poll": 0.02, **options}
    async with asyncio.timeout(5):
        return [step async for step in work.follow(bus, bus.task.id, **options)]


def shown(steps: list[ReplyProgress]) -> list[str]:
    said = []
    for step in steps:
        if step.restarted:
            said.append("!")
        elif step.delta:
            said.append(step.delta.text)
    return said


async def test_deltas_come_once_and_in_order_whether_stored_before_or_told_later() -> None:
    bus = ScriptedBus(running())
    bus.deltas(A, tell=False)
    bus.put(ReplyDelta(task=bus.task.id, attempt=1, deltas=(A,)))
    bus.deltas(B)
    bus.put(ReplyDelta(task=bus.task.id, attempt=1, deltas=(A, B)))
    bus.deltas(C)
    bus.end()
    steps = await follow(bus)
    assert shown(steps) == ["a", "b", "c"]
    assert (steps[-1].final, steps[-1].text) == (True, "abc")


async def test_a_gap_is_filled_from_the_store() -> None:
    bus = ScriptedBus(running())
    steps: list[ReplyProgress] = []
    async with asyncio.timeout(5):
        async for step in work.follow(bus, bus.task.id, poll=60.0):
            steps.append(step)
            if step.task is not None and step.task.state is TaskState.RUNNING:
                bus.deltas(A, B, tell=False)
                bus.deltas(C)
                bus.end()
    assert shown(steps) == ["a", "b", "c"]


async def test_a_lost_end_is_found_by_asking() -> None:
    bus = ScriptedBus(running())
    steps: list[ReplyProgress] = []
    async with asyncio.timeout(5):
        async for step in work.follow(bus, bus.task.id, poll=0.02):
            steps.append(step)
            if step.task is not None and not step.final:
                bus.deltas(A, B, C, tell=False)
                bus.end(tell=False)
    assert shown(steps) == ["a", "b", "c"]
    assert steps[-1].text == "abc"


async def test_another_attempt_voids_what_was_shown_and_a_straggler_is_ignored() -> None:
    bus = ScriptedBus(running())
    bus.deltas(A, B)
    bus.deltas(A, attempt=2)
    bus.put(ReplyDelta(task=bus.task.id, attempt=1, deltas=(C,)))
    bus.deltas(B, C, attempt=2)
    bus.end()
    text = ""
    for step in await follow(bus):
        if step.restarted:
            text = ""
        if step.delta is not None:
            text += step.delta.text
    assert text == "abc"


async def test_a_task_that_ended_before_is_shown_whole_at_once() -> None:
    bus = ScriptedBus(running())
    bus.deltas(A, B, C, tell=False)
    bus.end(tell=False)
    steps = await follow(bus, poll=60.0)
    assert shown(steps) == ["a", "b", "c"]
    assert steps[-1].text == "abc"


async def test_a_dead_task_ends_without_text() -> None:
    bus = ScriptedBus(running())
    bus.end(TaskState.DEAD, text=None)
    (end,) = await follow(bus)
    assert (end.final, end.text) == (True, None)


async def test_a_cluster_that_is_away_is_waited_for() -> None:
    bus = ScriptedBus(running())
    bus.away = True
    asyncio.get_running_loop().call_later(0.1, setattr, bus, "away", False)
    bus.end(tell=False)
    assert (await follow(bus))[-1].text == "abc"


async def test_but_not_for_ever() -> None:
    bus = ScriptedBus(running())
    bus.away = True
    with pytest.raises(Disconnected):
        await follow(bus, patience=0.1)


async def test_a_task_that_does_not_exist_is_said_at_once() -> None:
    bus = ScriptedBus(a_task())
    known = bus.task
    bus.task = replace(known, id=TaskId("other"))
    following = work.follow(_Unsubscribed(bus), known.id)
    with pytest.raises(NervError) as caught:
        await asyncio.wait_for(anext(following), 5)
    assert caught.value.code is ErrorCode.NOT_FOUND


class _Unsubscribed:
    """The scripted bus, whatever one subscribes to."""

    def __init__(self, bus: ScriptedBus) -> None:
        self.request = bus.request
        self._bus = bus

    def subscribe(self, *topics: str, capacity: int = 1024) -> ScriptedBus:
        return self._bus
