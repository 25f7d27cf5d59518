"""The supervisor: keeps the tree up, judges signs of life and memory, answers on the bus as ``supervisor``.

It never waits for a peer, a disk, a child or a reader of its log.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import time
import traceback
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from nerv.bus.envelope import new_incarnation
from nerv.bus.handlers import Context, handles
from nerv.bus.vocabulary import Message
from nerv.errors import ErrorCode, ErrorInfo, NervError
from nerv.instance import Instance
from nerv.messages import (
    SUPERVISOR,
    ActorChanged,
    ActorRestart,
    ActorState,
    ClusterStatus,
    LogLine,
    Ok,
    Reloaded,
    SupervisorReload,
    SupervisorStatus,
    SupervisorStop,
    Tick,
)
from nerv.supervisor.child import Child
from nerv.supervisor.journal import Journal
from nerv.supervisor.launch import Command, actor_command
from nerv.supervisor.monitor import Monitor
from nerv.supervisor.progress import Progress
from nerv.supervisor.specification import Specification, load_specification
from nerv.supervisor.tree import Tree

TICK_SECONDS = 1.0
RESTART_MARGIN_SECONDS = 5.0
STOP_ANSWER_SECONDS = 0.1
"""Between answering `supervisor.stop` and beginning it, so that the answer leaves."""


class Link(Protocol):
    """The supervisor's connection to the bus, of which it must not depend: it also runs when there is none."""

    def publish(self, topic: str, message: Message) -> None:
        """Never blocks; without a connection the event is lost."""

    async def run(self, owner: object, heard: Callable[[Tick], None]) -> None:
        """Connect, connect again, serve the handlers of ``owner``, hand over ticks; until cancelled."""


class Supervisor:
    """One run of one instance. ``owns_process``: it may reap whatever child this process has."""

    def __init__(
        self,
        *,
        instance: Instance,
        config: Path,
        specification: Specification,
        run: str,
        journal: Journal,
        link: Link,
        progress: Progress,
        command: Command = actor_command,
        owns_process: bool = True,
    ) -> None:
        self._instance = instance
        self._config = config
        self._journal = journal
        self._link = link
        self._progress = progress
        self._started_at = time.time()
        self._version = importlib.metadata.version("nerv-runtime")
        self._incarnation = new_incarnation()
        self._stop = asyncio.Event()
        self._reason = ""
        self._failed = False
        self._reload_wanted = asyncio.Event()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="config")
        self._reloading = asyncio.Lock()
        self._tree = Tree(
            instance=instance,
            specification=specification,
            run=run,
            journal=journal,
            command=command,
            on_change=self._changed,
        )
        self._monitor = Monitor(self._tree, journal, owns_process=owns_process)

    async def run(self) -> int:
        """Start everything, keep it up until asked to stop; returns the exit status of this process."""
        background = (
            self._link.run(self, self.heard),
            self._until_broken(),
            self._announce(),
            self._tick(),
            self._monitor.watch(),
            self._monitor.sample(),
            self._reload_on_request(),
        )
        self._journal.announce = self._publish_line
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._guarded(work)) for work in background]
                self._tree.start()
                await self._stop.wait()
                self._journal.write("info", "stopping", detail=self._reason)
                await self._bring_down()
                for task in tasks:
                    task.cancel()
        finally:
            self._journal.announce = None
            await self._tree.close()
            self._monitor.close()
            self._disk.shutdown(wait=False, cancel_futures=True)
        return 1 if self._failed else 0

    def request_stop(self, reason: str) -> None:
        """Stop in order; asked again: nothing. (A service manager sends SIGTERM to us and to the watchdog, which
        passes it on.)"""
        if not self._stop.is_set():
            self._reason = reason
            self._stop.set()

    def interrupt(self) -> None:
        """A person pressed Ctrl-C: stop in order; the second time, fast."""
        if self._stop.is_set():
            self._journal.write("warning", "stopping fast", detail="interrupted again")
            self._tree.stop_fast()
        self.request_stop("interrupted")

    def request_reload(self) -> None:
        """Reload in the background, as SIGHUP wants it; errors go to the log."""
        self._reload_wanted.set()

    # --- commands --------------------------------------------------------------------------------------

    @handles(SupervisorStatus)
    def on_status(self, message: SupervisorStatus, context: Context) -> ClusterStatus:
        return self.status()

    @handles(SupervisorStop)
    def on_stop(self, message: SupervisorStop, context: Context) -> Ok:
        asyncio.get_running_loop().call_later(
            STOP_ANSWER_SECONDS, self.request_stop, f"asked by {context.source}"
        )
        return Ok()

    @handles(SupervisorReload)
    async def on_reload(self, message: SupervisorReload, context: Context) -> Reloaded:
        return await self.reload()

    @handles(ActorRestart)
    async def on_restart(self, message: ActorRestart, context: Context) -> Ok:
        await self.restart(message.name, message.reason)
        return Ok()

    def status(self) -> ClusterStatus:
        """The whole tree as it is now, in order of start."""
        order = {actor.name: place for place, actor in enumerate(self._tree.specification.actors)}
        children = sorted(self._tree.children.values(), key=lambda child: order.get(child.name, len(order)))
        return ClusterStatus(
            instance=self._instance.name,
            version=self._version,
            supervisor_pid=os.getpid(),
            started_at=self._started_at,
            stopping=self._stop.is_set(),
            actors=tuple(child.status() for child in children),
        )

    async def reload(self) -> Reloaded:
        """Read supervisor.toml again. Raises :class:`ConfigurationError` and changes nothing if it is wrong."""
        async with self._reloading:
            loop = asyncio.get_running_loop()
            new = await loop.run_in_executor(self._disk, load_specification, self._config)
            if self._stop.is_set():
                raise NervError(ErrorInfo(code=ErrorCode.STOPPING, reason="the cluster is stopping"))
            done = self._tree.apply(new)
        detail = f"added {len(done.added)}, removed {len(done.removed)}, restarted {len(done.restarted)}"
        self._journal.write("info", "reloaded", detail=detail)
        return done

    async def restart(self, name: str, reason: str) -> None:
        """Stop an actor by the ladder and start it again; returns when it is ready. Raises NervError."""
        child = self._tree.children.get(name)
        if child is None or child.retired:
            known = ", ".join(self._tree.children)
            raise NervError(
                ErrorInfo(
                    code=ErrorCode.NOT_FOUND,
                    reason=f"no actor is called {name!r}",
                    field="name",
                    fix=f"known: {known}",
                )
            )
        if self._stop.is_set():
            raise NervError(ErrorInfo(code=ErrorCode.STOPPING, reason="the cluster is stopping"))
        before = child.starts
        child.forgive()
        child.cycle(reason or "restart asked for")
        self._tree.cycle_dependants(child, f"restarted with {name}")
        patience = child.spec.stop_seconds + child.spec.start_seconds + RESTART_MARGIN_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while child.starts == before or child.state in (ActorState.STARTING, ActorState.STOPPING):
                    await self._tree.news()
        if child.state is not ActorState.READY or child.starts == before:
            last = child.status().last_exit or ""
            raise NervError(
                ErrorInfo(
                    code=ErrorCode.CONFLICT, reason=f"{name} is {child.state} after the restart: {last}"
                )
            )

    def heard(self, tick: Tick) -> None:
        if tick.actor == SUPERVISOR:
            if tick.incarnation == self._incarnation:
                self._monitor.hearing.echo(time.monotonic())
        elif child := self._tree.children.get(tick.actor):
            child.tick(tick.incarnation, tick.at)

    # --- background ------------------------------------------------------------------------------------

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
        """A defect in one of our own tasks must not leave the tree without a minder: stop in order, exit 1."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 - it is reported, and ends the run
            self._failed = True
            self._journal.write(
                "error", "a defect in the supervisor", detail="".join(traceback.format_exception(error))
            )
            self.request_stop(f"a defect: {error!r}")

    async def _until_broken(self) -> None:
        while self._tree.broken is None:
            await self._tree.news()
        raise self._tree.broken

    async def _reload_on_request(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            try:
                await self.reload()
            except NervError as error:
                self._journal.write("error", "not reloaded: nothing is changed", detail=str(error))

    async def _bring_down(self) -> None:
        self._tree.stop(self._reason)
        try:
            async with asyncio.timeout(self._tree.specification.limits.stop_total_seconds):
                await self._tree.stopped()
        except TimeoutError:
            self._journal.write("warning", "stop takes too long: killing the rest")
            self._tree.stop_fast()
            await self._tree.stopped()

    async def _announce(self) -> None:
        """Tell whoever waits for the start how it goes, until everything is ready."""
        while not self._tree.settled():
            await self._tree.news()
        seconds = time.time() - self._started_at
        self._journal.write("info", "ready", detail=f"{len(self._tree.children)} actors in {seconds:.1f} s")
        self._progress.ready()

    async def _tick(self) -> None:
        while True:
            self._link.publish(
                f"tick.{SUPERVISOR}",
                Tick(
                    actor=SUPERVISOR,
                    incarnation=self._incarnation,
                    pid=os.getpid(),
                    at=time.time(),
                    loop_lag=self._monitor.loop_lag,
                    gauges=self._gauges(),
                ),
            )
            await asyncio.sleep(TICK_SECONDS)

    def _gauges(self) -> dict[str, float]:
        children = self._tree.children.values()
        return {
            "actors": float(len(children)),
            "actors_ready": float(sum(child.state is ActorState.READY for child in children)),
            "restarts_total": float(sum(max(0, child.starts - 1) for child in children)),
        }

    def _publish_line(self, at: float, level: str, actor: str, event: str, detail: str) -> None:
        line = LogLine(actor=SUPERVISOR, at=at, level=level, event=f"{actor}: {event}", detail=detail)
        self._link.publish(f"log.{SUPERVISOR}", line)

    def _changed(self, child: Child) -> None:
        status = child.status()
        self._progress.actor(status)
        self._link.publish(f"actor.{child.name}", ActorChanged(status=status))
