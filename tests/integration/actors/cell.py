"""Actors of a cluster in one process and one loop: real sockets, real databases, no supervisor."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from actors.kernel import KernelActor
from actors.queue import QueueActor
from actors.store import StoreActor
from actors.telemetry import TelemetryActor
from kernel.messages import (
    KERNEL,
    QUEUE,
    STORE,
    AttemptCancel,
    AttemptReport,
    AttemptRun,
    Delta,
    DriverOffer,
    ProviderAdded,
    ProviderDiscover,
    ReplyAppend,
    ReplySeal,
    ReplySealed,
    TaskStage,
)
from kernel.tasks import Finish, ReplySource, Stage, Task, TaskError, TaskId
from nerv.bus.endpoints import endpoints_of
from nerv.bus.envelope import new_incarnation
from nerv.bus.handlers import Context, collect, handles
from nerv.bus.peer_socket import Peer
from nerv.bus.server import BusActor
from nerv.child import ChildEnvironment, Life, Runnable
from nerv.client import Client
from nerv.errors import NervError
from nerv.instance import Instance
from nerv.messages import Ok

T = TypeVar("T")

CLASSES: dict[str, Callable[[], Runnable]] = {
    "bus": BusActor,
    "store": StoreActor,
    "queue": QueueActor,
    "kernel": KernelActor,
    "telemetry": TelemetryActor,
}
WAIT_SECONDS = 15.0
RECIPE = """
address = "http://127.0.0.1:9/{name}"

[locators]
input = [{{ path = ["textarea"] }}]
"""


async def until(check: Callable[[], Awaitable[T | None]], what: str, seconds: float = WAIT_SECONDS) -> T:
    """The first thing that ``check`` finds; fails with ``what`` after a while."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = await check()
                if found:
                    return found
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"waited in vain for: {what}") from None


class ReadyLife(Life):
    def __init__(self, environment: ChildEnvironment) -> None:
        super().__init__(environment)
        self.is_ready = asyncio.Event()

    def ready(self) -> None:
        self.is_ready.set()


class Cell:
    def __init__(self, home: Path, settings: dict[str, dict[str, Any]] | None = None) -> None:
        self.instance = Instance.locate(environ={"NERV_HOME": str(home)})
        self._settings = settings or {}
        self._running: dict[str, tuple[ReadyLife, asyncio.Task[None]]] = {}

    async def __aenter__(self) -> Cell:
        self.instance.create()
        for name in ("alpha", "beta"):
            (self.instance.recipes / f"{name}.toml").write_text(RECIPE.format(name=name))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(list(self._running)):
            await self.stop(name)

    async def start(self, *names: str, **settings: Any) -> None:
        for name in names:
            environment = ChildEnvironment(
                instance=self.instance,
                actor=name,
                incarnation=new_incarnation(),
                run="test",
                settings=settings or self._settings.get(name, {}),
                status_fd=None,
                parent_fd=None,
            )
            life = ReadyLife(environment)
            task = asyncio.create_task(CLASSES[name]().run(life), name=name)
            ready = asyncio.create_task(life.is_ready.wait())
            await asyncio.wait((task, ready), timeout=WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                ready.cancel()
                await task
            assert life.is_ready.is_set(), f"{name} did not get ready"
            self._running[name] = (life, task)

    async def stop(self, name: str) -> None:
        life, task = self._running.pop(name)
        life.stop.set()
        async with asyncio.timeout(WAIT_SECONDS):
            await task

    def client(self, name: str | None = None) -> Client:
        return Client(self.instance, name)


class Page:
    """A driver without a browser: it does what it is told to do with each task (the page's part of a test)."""

    def __init__(self, instance: Instance, name: str = "driver-1", pages: int = 1) -> None:
        self.name = name
        self.pages = pages
        self.prompts: list[tuple[str, int, Stage]] = []
        self.cancelled: list[TaskId] = []
        self.refuse: NervError | None = None
        self.reports: list[Task | NervError] = []
        self.act: Callable[[Page, Task], Awaitable[str | TaskError]] = answer
        self._work: dict[TaskId, asyncio.Task[None]] = {}
        self.peer = Peer(endpoints_of(instance), name=name, handlers=collect(self))

    async def __aenter__(self) -> Page:
        await self.peer.open(WAIT_SECONDS)
        self._offering = asyncio.create_task(self._keep_offering())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._offering.cancel()
        for work in self._work.values():
            work.cancel()
        await asyncio.gather(self._offering, *self._work.values(), return_exceptions=True)
        await self.peer.close("done")

    @property
    def owner(self) -> str:
        return f"{self.name}@{self.peer.incarnation}"

    @handles(AttemptRun)
    async def run(self, message: AttemptRun, context: Context) -> Ok:
        if self.refuse is not None:
            raise self.refuse
        task = message.task
        self.prompts.append((task.prompt, task.attempt, task.stage))
        self._work[task.id] = asyncio.create_task(self._attempt(task))
        return Ok()

    @handles(AttemptCancel)
    async def cancel(self, message: AttemptCancel, context: Context) -> Ok:
        self.cancelled.append(message.id)
        self._work[message.id].cancel()
        return Ok()

    @handles(ProviderDiscover)
    async def discover(self, message: ProviderDiscover, context: Context) -> ProviderAdded:
        return ProviderAdded(
            name=message.name,
            address=message.url,
            path="-",
            input="-",
            send="-",
            reply="-",
            stream="-",
            turns="-",
            proof="-",
        )

    async def offer(self) -> None:
        offer = DriverOffer(
            driver=self.name,
            incarnation=self.peer.incarnation,
            pages=self.pages,
            free=self.pages - len(self._work),
            tasks=tuple(self._work),
        )
        await self.peer.request(KERNEL, offer, timeout=2.0)

    async def stage(self, task: Task, *stages: Stage) -> None:
        assert task.lease is not None
        for stage in (stage for stage in stages if stage.rank > task.stage.rank):
            await self.peer.request(QUEUE, TaskStage(id=task.id, token=task.lease.token, stage=stage))

    async def delta(self, task: Task, seq: int, offset: int, text: str) -> None:
        delta = Delta(seq=seq, offset=offset, text=text)
        await self.peer.request(STORE, ReplyAppend(task=task.id, attempt=task.attempt, deltas=(delta,)))

    async def seal(self, task: Task, text: str) -> ReplySealed:
        seal = ReplySeal(
            task=task.id,
            attempt=task.attempt,
            text=text,
            source=ReplySource.WIRE,
            finish=Finish.COMPLETE,
        )
        return await self.peer.request(STORE, seal)

    async def _attempt(self, task: Task) -> None:
        assert task.lease is not None
        outcome = await self.act(self, task)
        error = outcome if isinstance(outcome, TaskError) else None
        reply = None if isinstance(outcome, TaskError) else (await self.seal(task, outcome)).reply
        report = AttemptReport(id=task.id, token=task.lease.token, driver=self.name, reply=reply, error=error)
        try:
            view: Any = await self.peer.request(KERNEL, report, timeout=10.0)
            self.reports.append(view.task)
        except NervError as refused:
            self.reports.append(refused)
        finally:
            del self._work[task.id]
            with contextlib.suppress(NervError):
                await self.offer()

    async def _keep_offering(self) -> None:
        while True:
            with contextlib.suppress(NervError):  # the kernel may be away: tests of that
                await self.offer()
            await asyncio.sleep(0.2)


async def answer(page: Page, task: Task) -> str:
    """A page that works: stages in order, the reply in pieces."""
    await page.stage(task, Stage.PREPARED, Stage.TYPED, Stage.SUBMITTED, Stage.ACCEPTED)
    text = f"You said: {task.prompt}"
    for seq, start in enumerate(range(0, len(text), 5), start=1):
        await page.delta(task, seq, start, text[start : start + 5])
    return text
