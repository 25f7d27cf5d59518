"""All supervised actors of one instance: starts, restarts and stops them in order. Knows no bus and no signals."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from nerv.bus.envelope import Incarnation
from nerv.instance import Instance
from nerv.messages import ActorState, Reloaded
from nerv.supervisor import order
from nerv.supervisor.child import Child, Usage
from nerv.supervisor.journal import Journal
from nerv.supervisor.kill_tree import kill_tree
from nerv.supervisor.launch import Command, incarnation_mark, prepare, sweep_scratch
from nerv.supervisor.process import Launch, Process
from nerv.supervisor.restart import Exit, affected
from nerv.supervisor.specification import ActorSpec, Specification, difference

SWEEP_SECONDS = 5.0
REMEMBERED_FAILURES = 1_000
LEVELS = {
    ActorState.READY: "info",
    ActorState.STARTING: "debug",
    ActorState.BACKOFF: "debug",
    ActorState.STOPPED: "info",
    ActorState.STOPPING: "debug",
    ActorState.FINISHED: "info",
    ActorState.PARKED: "debug",
    ActorState.REFUSED: "debug",
}


class Tree:
    """Children and their order. ``on_change`` is called after every change of a child's state."""

    def __init__(
        self,
        *,
        instance: Instance,
        specification: Specification,
        run: str,
        journal: Journal,
        command: Command,
        on_change: Callable[[Child], None],
    ) -> None:
        self.specification = specification
        self.children: dict[str, Child] = {}
        self.hurry = False
        self.broken: BaseException | None = None
        """A defect that ended a child's task; the run must end."""
        self._stopping = False
        self._instance = instance
        self._run = run
        self._journal = journal
        self._command = command
        self._on_change = on_change
        self._failures: dict[str, deque[float]] = {}
        self._tasks: dict[Child, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        # Killing must not wait behind a stuck disk, hence two pools.
        self._disk = ThreadPoolExecutor(4, thread_name_prefix="disk")
        self._killers = ThreadPoolExecutor(4, thread_name_prefix="kill")

    def start(self) -> None:
        """Begin to start everything; returns at once."""
        for spec in self.specification.actors:
            self._add(spec)

    def stop(self, reason: str) -> None:
        """Begin to stop everything in reverse order; returns at once."""
        self._stopping = True
        for child in self.children.values():
            child.want(False, reason=reason)

    def stop_fast(self) -> None:
        """No more patience with anybody: every ladder goes straight to KILL."""
        self.hurry = True
        for child in self.children.values():
            child.wake()

    async def stopped(self) -> None:
        """Until no actor runs."""
        while any(child.busy for child in self.children.values()):
            await self.news()

    async def news(self) -> None:
        """Until some child's state changes."""
        self._news.clear()
        await self._news.wait()

    async def close(self) -> None:
        """After :meth:`stopped`: end the children's tasks."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._disk.shutdown(wait=False, cancel_futures=True)
        self._killers.shutdown(wait=False, cancel_futures=True)

    def settled(self) -> bool:
        """Whether everything has come up as far as it will: ready, finished, or in need of a person."""
        done = (ActorState.READY, ActorState.FINISHED)
        return all(child.state in done for child in self.children.values())

    def apply(self, new: Specification) -> Reloaded:
        """Turn the tree into ``new``, touching only what differs. Refused actors are tried again."""
        change = difference(self.specification, new)
        self.specification = new
        for name in change.removed:
            self.children[name].retire()
        for name in (*change.restarted, *change.adjusted):
            spec = new.actor(name)
            assert spec is not None
            self.children[name].adopt(spec)
        for name in change.restarted:
            child = self.children[name]
            if child.pid is None:
                child.forgive()
            child.cycle("changed by a reload")
        for child in self.children.values():
            if child.state is ActorState.REFUSED:
                child.forgive()
        for name in change.added:
            spec = new.actor(name)
            assert spec is not None
            old = self.children.get(name)
            if old is not None and old in self._tasks and not self._tasks[old].done():
                old.revive(spec)  # removed by an earlier reload and still on its way down
            else:
                self._add(spec)
        self._wake_all()
        return Reloaded(added=change.added, removed=change.removed, restarted=change.restarted)

    def _add(self, spec: ActorSpec) -> None:
        child = Child(spec, self)
        self.children[spec.name] = child
        task = asyncio.get_running_loop().create_task(child.run(), name=f"child-{spec.name}")
        self._tasks[child] = task
        task.add_done_callback(lambda done: self._ended(child, done))

    def _ended(self, child: Child, task: asyncio.Task[None]) -> None:
        self._tasks.pop(child, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            # A defect of ours. The child's process is still there, its minder is not: end the run loudly.
            self._journal.write("error", "supervision failed", actor=child.name, detail=repr(error))
            self.broken = error
            self._news.set()
        if child.retired and self.children.get(child.name) is child:
            del self.children[child.name]
            self._wake_all()

    # --- what the children ask (Surroundings) ----------------------------------------------------------

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def chance(self) -> float:
        return random.random()

    def abort_seconds(self) -> float:
        return self.specification.limits.abort_seconds

    async def prepare(self, spec: ActorSpec, incarnation: Incarnation) -> Launch:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(spec.start_seconds):  # TimeoutError is an OSError: the start has failed
            return await loop.run_in_executor(
                self._disk, prepare, self._instance, spec, incarnation, self._run, self._command
            )

    async def bury(self, process: Process, spec: ActorSpec, incarnation: Incarnation, usage: Usage) -> None:
        loop = asyncio.get_running_loop()
        survivors = await loop.run_in_executor(
            self._killers,
            lambda: kill_tree(process.pid, mark=incarnation_mark(incarnation), known=usage.members),
        )
        if survivors:
            detail = f"pids {sorted(survivors)} survive SIGKILL"
            self._journal.write("error", "left-over processes", actor=spec.name, detail=detail)
        try:
            async with asyncio.timeout(SWEEP_SECONDS):
                await loop.run_in_executor(self._disk, sweep_scratch, self._instance, spec.name)
        except TimeoutError:
            self._journal.write("warning", "temporary folder not removed in time", actor=spec.name)

    def may_start(self, child: Child) -> bool:
        if self.specification.actor(child.name) is None:
            return False
        return not order.blockers(self.specification, self._views(), child.spec)

    def may_stop(self, child: Child) -> bool:
        if self.hurry or child.retired:
            return True
        return not order.holders(self.specification, self._views(), child.spec, whole=self._stopping)

    def group_failures(self, group: str) -> tuple[float, ...]:
        return tuple(self._failures.get(group, ()))

    def failed(self, child: Child, end: Exit) -> None:
        self._failures.setdefault(child.spec.group, deque(maxlen=REMEMBERED_FAILURES)).append(
            self.monotonic()
        )
        self.cycle_dependants(child, f"restarted with {child.name}")

    def cycle_dependants(self, child: Child, reason: str) -> None:
        """Restart those siblings that the strategy of its group ties to ``child``."""
        group = self.specification.group(child.spec.group)
        names = [actor.name for actor in self.specification.members(group.name)]
        if child.name in names:
            for name in affected(group.strategy, names, child.name):
                self.children[name].cycle(reason)

    def changed(self, child: Child) -> None:
        detail = f"pid {child.pid}" if child.state in (ActorState.STARTING, ActorState.READY) else ""
        self._journal.write(LEVELS[child.state], str(child.state), actor=child.name, detail=detail)
        self._on_change(child)
        self._wake_all()

    def rested(self, child: Child) -> None:
        self._news.set()

    def note(self, level: str, event: str, child: Child, detail: str = "") -> None:
        self._journal.write(level, event, actor=child.name, detail=detail)

    def _views(self) -> dict[str, order.View]:
        gone = order.View(state=ActorState.STOPPED)
        views = {actor.name: gone for actor in self.specification.actors}
        return views | {name: child.view() for name, child in self.children.items()}

    def _wake_all(self) -> None:
        self._news.set()
        for child in self.children.values():
            child.wake()
