"""The base class of every actor: typed handlers, background work, ticks, an orderly end."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from collections.abc import Coroutine
from typing import Any, NoReturn

from nerv.bus.endpoints import endpoints_of
from nerv.bus.handlers import Context, collect, handles
from nerv.bus.peer_socket import Peer
from nerv.child import Fenced, Life, run_child
from nerv.instance import Instance
from nerv.logs import BoundLog
from nerv.messages import LogLine, Tick

TICK_SECONDS = 1.0
CONNECT_SECONDS = 10.0
"""How long an actor waits for the broker when it starts; then it ends with status 1 and is started again."""
DRAIN_SECONDS = 5.0
"""How long handlers may go on after SIGTERM, unless the class says otherwise."""


class Actor:
    """Derive, mark handlers with :func:`handles`, and override what is needed of start, stop and gauges.

    ``window`` is how many commands are in hand at one time; ``drain_seconds`` how long they may take at the end.
    """

    window: int = 256
    drain_seconds: float = DRAIN_SECONDS

    name: str
    instance: Instance
    settings: dict[str, Any]
    peer: Peer
    log: BoundLog
    stopping: bool = False
    """SIGTERM has come: take no new work."""

    async def start(self) -> None:
        """Before READY is reported; the peer is connected, but no handler is called before this has returned.

        Raise :class:`nerv.errors.ConfigurationError` for settings that cannot work: it is not restarted then.
        """

    async def stop(self) -> None:
        """After credit is withdrawn and the handlers have ended; the peer is still connected."""

    def gauges(self) -> dict[str, float]:
        """Numbers for the next Tick; counters end in ``_total``."""
        return {}

    def background(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Work beside the handlers. If it fails, the actor ends with status 1; at stop it is cancelled."""
        task = self.tasks.create_task(coroutine, name=name)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def run(self, life: Life) -> None:
        """The life of an actor, called by `nerv.child`. Raises what ended it, if that was not a stop."""
        environment = life.environment
        self.name = environment.actor
        self.instance = environment.instance
        self.settings = environment.settings
        self.log = BoundLog("nerv.actor")
        self._background: set[asyncio.Task[None]] = set()
        self.peer = Peer(
            endpoints_of(self.instance),
            name=self.name,
            incarnation=environment.incarnation,
            kind="actor",
            window=self.window,
            handlers=collect(self),
            hold=True,
        )
        try:
            async with asyncio.TaskGroup() as self.tasks:
                await self._live(life)
        except BaseExceptionGroup as group:
            raise _first(group) from group
        finally:
            if life.log is not None:
                life.log.announce(None)
            await self.peer.close("stopped")

    async def _live(self, life: Life) -> None:
        await self.peer.open()
        self.background(self._end_when_fenced(), name="fence")
        await self.peer.wait_connected(CONNECT_SECONDS)
        if life.log is not None:
            life.log.announce(self._publish_log_line)
        await self.start()
        self.peer.serve()
        self.background(self._tick(), name="tick")
        life.ready()
        self.log.info("ready", pid=os.getpid())
        await life.stop.wait()
        self.stopping = True
        life.stopping()
        if not await self.peer.drain(self.drain_seconds):
            self.log.warning("handlers did not end in time", seconds=self.drain_seconds)
        await self.stop()
        for task in self._background:
            task.cancel()

    async def _end_when_fenced(self) -> None:
        await self.peer.fenced.wait()
        raise Fenced(f"{self.name!r} has a younger incarnation")

    async def _tick(self) -> None:
        """Publish a Tick each second; how late the timer fires is the lag of the loop."""
        loop = asyncio.get_running_loop()
        self._publish_tick(0.0)
        due = loop.time() + TICK_SECONDS
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            lag = max(0.0, loop.time() - due)
            due = max(due + TICK_SECONDS, loop.time())
            self._publish_tick(lag)

    def _publish_tick(self, lag: float) -> None:
        statistics = self.peer.statistics()
        core = statistics.core
        gauges = {
            "bus_requests_total": float(core.requests),
            "bus_resends_total": float(core.resends),
            "bus_handled_total": float(core.handled),
            "bus_duplicates_total": float(core.duplicates),
            "bus_pending": float(core.pending),
            "bus_events_dropped_total": float(statistics.events_dropped),
            "peak_memory_bytes": float(_peak_memory()),
            **self.gauges(),
        }
        tick = Tick(
            actor=self.name,
            incarnation=self.peer.incarnation,
            pid=os.getpid(),
            at=time.time(),
            loop_lag=lag,
            in_flight=statistics.in_flight,
            gauges=gauges,
        )
        self.peer.publish(f"tick.{self.name}", tick)

    def _publish_log_line(self, at: float, level: str, event: str, detail: str, correlation: str) -> None:
        line = LogLine(
            actor=self.name, at=at, level=level, event=event, detail=detail, correlation=correlation
        )
        self.peer.publish(f"log.{self.name}", line)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first plain exception of a group: one reason is what a log line and an exit status can tell."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _peak_memory() -> int:
    """Bytes. getrusage counts in KiB on Linux, in bytes on macOS."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def run_actor(actor_class: type[Actor]) -> NoReturn:
    """Run this class as the process's whole work (for a module of its own; else `python -m nerv.child`)."""
    sys.exit(run_child(actor_class))


__all__ = ("CONNECT_SECONDS", "DRAIN_SECONDS", "TICK_SECONDS", "Actor", "Context", "handles", "run_actor")
