"""A cluster in memory, as far as the monitor can see one: answers its questions, publishes, can go away."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from kernel.messages import (
    Delta,
    ProviderList,
    ProviderPage,
    ProviderView,
    QueueCounts,
    QueueStats,
    ReplyDelta,
    ReplyRead,
    ReplyView,
    TaskCancel,
    TaskChanged,
    TaskEvents,
    TaskGet,
    TaskHistory,
    TaskList,
    TaskPage,
    TaskRetry,
    TaskView,
)
from kernel.tasks import (
    Finish,
    Lease,
    LeaseToken,
    ReplySource,
    ReplySummary,
    Stage,
    Task,
    TaskEvent,
    TaskId,
    TaskKind,
    TaskState,
)
from nerv.bus.vocabulary import Command, Message
from nerv.errors import Disconnected, ErrorCode, ErrorInfo, RemoteError
from nerv.messages import ActorRestart, ActorState, ActorStatus, ClusterStatus, Ok, SupervisorStatus, Tick

DISCONNECTED = ErrorInfo(code=ErrorCode.DISCONNECTED, reason="the broker is gone")
NAMES = ("bus", "store", "queue", "kernel", "driver-1", "driver-2", "gateway", "telemetry")


def make_task(
    number: int, state: TaskState = TaskState.PENDING, *, at: float = 1000.0, **fields: object
) -> Task:
    task = Task(
        id=TaskId(f"t{number:06d}x"),
        kind=TaskKind.CHAT,
        provider="playground",
        prompt=f"Prompt number {number}",
        state=state,
        deadline=at + 900,
        created_at=at,
        updated_at=at,
    )
    return msgspec.structs.replace(task, **fields)


def lease(owner: str = "driver-1@i", until: float = 2000.0) -> Lease:
    return Lease(token=LeaseToken("t"), owner=owner, until=until)


def summary(text: str, attempt: int = 1, finish: Finish = Finish.COMPLETE) -> ReplySummary:
    return ReplySummary(
        attempt=attempt, source=ReplySource.WIRE, finish=finish, length=len(text), sha256="0" * 64
    )


def make_actor(name: str, state: ActorState = ActorState.READY, **fields: object) -> ActorStatus:
    status = ActorStatus(
        name=name,
        group="core",
        state=state,
        pid=4000 + len(name),
        incarnation="i",
        started_at=time.time() - 125,
    )
    return msgspec.structs.replace(status, **{"cpu_percent": 1.5, "memory_bytes": 42 << 20, **fields})


@dataclass
class Event:
    topic: str
    message: Message
    gap: int = 0


class Subscription:
    attached = 1

    def __init__(self, client: FakeClient, topics: tuple[str, ...]) -> None:
        self.topics = topics
        self.queue: asyncio.Queue[Event] = asyncio.Queue()
        self._client = client

    async def __aenter__(self) -> Subscription:
        self._client.subscriptions.append(self)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._client.subscriptions.remove(self)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        return await self.queue.get()


class FakeClient:
    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.subscriptions: list[Subscription] = []

    @property
    def connected(self) -> bool:
        return self.cluster.up

    async def request(self, target: str, message: Command[Any], *, timeout: float = 30.0) -> Any:
        await asyncio.sleep(0)
        if not self.cluster.up:
            raise Disconnected(DISCONNECTED)
        self.cluster.asked.append((target, message))
        if target in self.cluster.refusals:
            raise RemoteError(self.cluster.refusals[target])
        return self.cluster.answer(message)

    def subscribe(self, *topics: str, capacity: int = 1024) -> Subscription:
        return Subscription(self, topics)


class FakeCluster:
    """``up`` False: nobody can connect, and every request fails. ``asked`` is what was asked, in order."""

    def __init__(self) -> None:
        self.up = True
        self.asked: list[tuple[str, Message]] = []
        self.refusals: dict[str, ErrorInfo] = {}
        self.clients: list[FakeClient] = []
        self.actors = {name: make_actor(name) for name in NAMES}
        self.tasks: dict[TaskId, Task] = {}
        self.replies: dict[TaskId, ReplyView] = {}
        self.history: dict[TaskId, tuple[TaskEvent, ...]] = {}
        self.providers: tuple[ProviderView, ...] = (
            ProviderView(name="playground", address="http://127.0.0.1:8080", origin="user", tried_live=True),
        )

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[FakeClient]:
        if not self.up:
            raise Disconnected(DISCONNECTED)
        client = FakeClient(self)
        self.clients.append(client)
        try:
            yield client
        finally:
            self.clients.remove(client)

    def publish(self, topic: str, message: Message, gap: int = 0) -> None:
        for client in self.clients:
            for subscription in client.subscriptions:
                if topic.startswith(subscription.topics):
                    subscription.queue.put_nowait(Event(topic, message, gap))

    def put(self, task: Task) -> None:
        """Store a task and tell of it, as the queue does."""
        self.tasks[task.id] = task
        self.publish(f"task.{task.id}", TaskChanged(task=task))

    def stream(self, task: Task, *texts: str) -> None:
        """Append to the reply of ``task``, stored and published, as the store does."""
        view = self.replies.get(task.id, ReplyView(task=task.id, attempt=task.attempt))
        deltas = []
        seq, offset = len(view.deltas), view.length
        for text in texts:
            seq += 1
            deltas.append(Delta(seq=seq, offset=offset, text=text))
            offset += len(text)
        self.replies[task.id] = ReplyView(
            task=task.id, attempt=task.attempt, deltas=(*view.deltas, *deltas), length=offset
        )
        self.publish(f"reply.{task.id}", ReplyDelta(task=task.id, attempt=task.attempt, deltas=tuple(deltas)))

    def tick(self, name: str, **gauges: float) -> None:
        now = time.time()
        self.publish(f"tick.{name}", Tick(actor=name, incarnation="i", pid=1, at=now, gauges=gauges))

    def changed(self, status: ActorStatus) -> None:
        from nerv.messages import ActorChanged

        self.actors[status.name] = status
        self.publish(f"actor.{status.name}", ActorChanged(status=status))

    def answer(self, message: Message) -> Message:
        match message:
            case SupervisorStatus():
                now = time.time()
                actors = [msgspec.structs.replace(actor, last_tick_at=now) for actor in self.actors.values()]
                return ClusterStatus(
                    instance="test",
                    version="0.1.0",
                    supervisor_pid=1,
                    started_at=time.time() - 130,
                    actors=tuple(actors),
                )
            case QueueStats():
                return QueueCounts(states=dict(Counter(task.state.value for task in self.tasks.values())))
            case TaskList():
                newest = sorted(self.tasks.values(), key=lambda task: -task.created_at)
                return TaskPage(tasks=tuple(newest[: message.limit]))
            case ProviderList():
                return ProviderPage(providers=self.providers)
            case ReplyRead(task=task_id, after=after):
                view = self.replies.get(task_id)
                if view is None:
                    raise RemoteError(ErrorInfo(code=ErrorCode.NOT_FOUND, reason="no reply yet"))
                return msgspec.structs.replace(view, deltas=tuple(d for d in view.deltas if d.seq > after))
            case TaskGet(id=task_id):
                return TaskView(task=self.tasks[task_id])
            case TaskHistory(id=task_id):
                return TaskEvents(events=self.history.get(task_id, ()))
            case TaskRetry(id=task_id):
                return self._move(task_id, TaskState.RETRY)
            case TaskCancel(id=task_id):
                return self._move(task_id, TaskState.CANCELLED)
            case ActorRestart():
                return Ok()
            case _:
                raise AssertionError(f"the monitor asked {message!r}")

    def _move(self, task_id: TaskId, state: TaskState) -> TaskView:
        task = msgspec.structs.replace(self.tasks[task_id], state=state, updated_at=time.time())
        self.put(task)
        return TaskView(task=task)


def busy_cluster() -> FakeCluster:
    """One with a bit of everything in it."""
    cluster = FakeCluster()
    now = time.time()
    for number in range(12):
        cluster.tasks[TaskId(f"t{number:06d}x")] = make_task(number, TaskState.DONE, at=now - 300 + number)
    waiting = make_task(20, at=now - 8, prompt="Compare the three papers and list where they disagree")
    dead = make_task(21, TaskState.DEAD, at=now - 60, attempt=3)
    running = make_task(
        22,
        TaskState.RUNNING,
        at=now - 12,
        attempt=1,
        stage=Stage.ACCEPTED,
        lease=lease("driver-1@i", now + 20),
        prompt="Explain write-ahead logging to a new colleague",
    )
    for task in (waiting, dead, running):
        cluster.tasks[task.id] = task
    cluster.stream(running, "# Write-ahead logging\n\nBefore a change is ", "made, it is *written down*.\n")
    return cluster
