"""The telemetry process: listens to what all others publish and shows it to Prometheus on loopback."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
from prometheus_client import CollectorRegistry, Counter

from infra.metrics import ActorGauges, Exposition, PortTaken, TaskMetrics
from kernel.messages import TaskChanged
from nerv.actor import Actor
from nerv.bus.subscription import Event
from nerv.errors import NervError
from nerv.instance import Instance
from nerv.messages import (
    SUPERVISOR,
    ActorChanged,
    ActorState,
    ActorStatus,
    LogLine,
    SupervisorStatus,
    Tick,
)
from nerv.settings import decode_settings

DEFAULT_PORT = 9464
BIND_PAUSE = 5.0
STATUS_SECONDS = 5.0
EVENT_CAPACITY = 8_192


class TelemetrySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``port`` on 127.0.0.1; 0 takes any free one. The port in use stands in ``<state>/telemetry.json``."""

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = DEFAULT_PORT


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What ``telemetry.json`` says."""

    address: str
    port: int
    pid: int


def endpoint_file(instance: Instance) -> Path:
    return instance.state / "telemetry.json"


class TelemetryActor(Actor):
    async def start(self) -> None:
        self._settings = decode_settings(self.settings, TelemetrySettings, actor=self.name)
        self._registry = CollectorRegistry()
        self._gauges = ActorGauges()
        self._registry.register(self._gauges)
        self._tasks = TaskMetrics(self._registry)
        self._missed = Counter(
            "nerv_events_missed", "Events that did not reach telemetry", registry=self._registry
        )
        self._lines = Counter(
            "nerv_log_lines", "Warnings and errors", ["actor", "level"], registry=self._registry
        )
        self._exposition: Exposition | None = None
        self._actors: frozenset[str] = frozenset()
        self.background(self._listen(), name="listen")
        self.background(self._expose(), name="expose")
        self.background(self._keep_status(), name="status")

    async def stop(self) -> None:
        endpoint_file(self.instance).unlink(missing_ok=True)
        if self._exposition is not None:
            await asyncio.to_thread(self._exposition.close)

    async def _expose(self) -> None:
        """A port that is taken is no reason to end: metrics are gathered, and the port is tried again."""
        while self._exposition is None:
            try:
                self._exposition = Exposition(self._registry, self._settings.port)
            except PortTaken as error:
                self.log.warning("metrics not shown", error=str(error), again_in=BIND_PAUSE)
                await asyncio.sleep(BIND_PAUSE)
        endpoint = Endpoint(address="127.0.0.1", port=self._exposition.port, pid=os.getpid())
        _write_whole(endpoint_file(self.instance), msgspec.json.encode(endpoint))
        self.log.info("metrics shown", address=f"http://127.0.0.1:{endpoint.port}/metrics")

    async def _listen(self) -> None:
        topics = ("tick.", "actor.", "task.", "peer.", "log.")
        async with self.peer.subscribe(*topics, capacity=EVENT_CAPACITY) as events:
            async for event in events:
                self._heed(event)

    def _heed(self, event: Event) -> None:
        if event.gap:
            self._missed.inc(event.gap)
        match event.message:
            case Tick() as tick:
                signs = {"actor_loop_lag_seconds": tick.loop_lag, "actor_in_flight": float(tick.in_flight)}
                self._gauges.put(tick.actor, "tick", signs | tick.gauges)
            case ActorChanged(status=status):
                self._put_status(status)
            case TaskChanged(task=task):
                self._tasks.changed(task)
            case LogLine() as line:
                self._lines.labels(line.actor, line.level).inc()
            case _:
                pass

    async def _keep_status(self) -> None:
        """Restarts and memory change without an event: the supervisor is asked for the whole picture."""
        while True:
            try:
                status = await self.peer.request(SUPERVISOR, SupervisorStatus(), timeout=STATUS_SECONDS)
            except NervError as error:
                self.log.debug("no status", error=str(error))  # no supervisor here, or it is away
            else:
                names = frozenset(actor.name for actor in status.actors)
                self._gauges.forget(self._actors - names)
                self._actors = names
                for actor in status.actors:
                    self._put_status(actor)
            await asyncio.sleep(STATUS_SECONDS)

    def _put_status(self, status: ActorStatus) -> None:
        self._gauges.put(
            status.name,
            "status",
            {
                "actor_up": float(status.state is ActorState.READY),
                "actor_restarts_total": float(status.restarts),
                "actor_memory_bytes": float(status.memory_bytes),
                "actor_cpu_percent": status.cpu_percent,
                "actor_started_seconds": status.started_at or 0.0,
            },
        )


def _write_whole(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.replace(temporary, path)
