"""The bus as a supervised process: bind under a lock, say READY, tick, stop when told."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import time
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from nerv.bus.broker_core import BUS
from nerv.bus.broker_socket import Broker
from nerv.bus.endpoints import endpoints_of
from nerv.bus.limits import DEFAULT_LIMITS, Limits
from nerv.bus.sockets import AddressLock
from nerv.bus.spin import SPIN
from nerv.bus.vocabulary import Role
from nerv.child import Life
from nerv.errors import ConfigurationError, invalid
from nerv.instance import Instance
from nerv.logs import BoundLog
from nerv.messages import LogLine, Tick
from nerv.settings import decode_settings

if TYPE_CHECKING:
    from nerv.bus.remote.door import Door

TICK_SECONDS = 1.0


class BusSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[actor.bus.settings]``. Without ``listen`` the bus is in its directory only, and the rest has no use."""

    limits: Limits = DEFAULT_LIMITS
    spin: Annotated[float, msgspec.Meta(ge=0, le=0.01)] = SPIN
    """Seconds, only while commands come close upon each other: look for the next one instead of sleeping. 0: never."""
    listen: str | None = None
    """``tcp://HOST:PORT``; the next two ports are used too."""
    plain_loopback: bool = False
    """No keys: allowed on a loopback address only. Every program on this machine is then let in."""
    plain_role: Literal["viewer", "submitter", "operator", "admin"] = "submitter"
    """What peers without a key may do there."""
    vocabulary: tuple[str, ...] = ()
    """Modules with further message types: whoever is not an admin may send only what the broker knows."""


class BusActor:
    """Its settings are `BusSettings`."""

    async def run(self, life: Life) -> None:
        environment = life.environment
        log = BoundLog("nerv.bus")
        settings = decode_settings(environment.settings, BusSettings, actor=BUS)
        limits = settings.limits.check()
        environment.instance.create()
        lock = AddressLock(environment.instance.bus_lock)
        lock.acquire()
        try:
            broker = Broker(
                endpoints_of(environment.instance),
                limits=limits,
                incarnation=environment.incarnation,
                door=door_of(settings, environment.instance),
                spin=settings.spin,
            )
        except BaseException:
            lock.release()
            raise
        try:
            broker.open()
            if life.log is not None:
                life.log.announce(
                    lambda at, level, event, detail, correlation: broker.publish(
                        f"log.{BUS}",
                        LogLine(
                            actor=BUS, at=at, level=level, event=event, detail=detail, correlation=correlation
                        ),
                    )
                )
            life.ready()
            log.info("ready", pid=os.getpid())
            await self._tick_until_stopped(life, broker)
            life.stopping()
        finally:
            if life.log is not None:
                life.log.announce(None)
            await broker.close()
            for path in (
                environment.instance.command_socket,
                environment.instance.event_in_socket,
                environment.instance.event_out_socket,
            ):
                path.unlink(missing_ok=True)
            lock.release()

    async def _tick_until_stopped(self, life: Life, broker: Broker) -> None:
        loop = asyncio.get_running_loop()
        lag = 0.0
        while not life.stop.is_set():
            broker.publish(f"tick.{BUS}", self._tick(broker, lag))
            due = loop.time() + TICK_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await life.stop.wait()
            lag = max(0.0, loop.time() - due)

    def _tick(self, broker: Broker, lag: float) -> Tick:
        statistics = broker.statistics()
        gauges = {
            "bus_messages_total": float(statistics.core.messages),
            "bus_commands_total": float(statistics.core.commands),
            "bus_queued_total": float(statistics.core.queued),
            "bus_busy_total": float(statistics.core.busy),
            "bus_undeliverable_total": float(statistics.core.undeliverable),
            "bus_expired_total": float(statistics.core.expired),
            "bus_fenced_total": float(statistics.core.fenced),
            "bus_malformed_total": float(statistics.core.malformed),
            "bus_answers_dropped_total": float(statistics.core.answers_dropped),
            "bus_events_total": float(statistics.events),
            "bus_peers": float(statistics.core.peers),
            "bus_waiting": float(statistics.core.waiting),
            "bus_backlog": float(statistics.core.backlog),
            "bus_dead_letters": float(statistics.core.dead_letters),
        }
        return Tick(
            actor=BUS,
            incarnation=broker.incarnation,
            pid=os.getpid(),
            at=time.time(),
            loop_lag=lag,
            in_flight=statistics.core.waiting,
            gauges=gauges,
        )


def door_of(settings: BusSettings, instance: Instance) -> Door | None:
    """What `listen` asks for; raises :class:`ConfigurationError` naming the setting."""
    if settings.listen is None:
        if settings.plain_loopback:
            raise ConfigurationError(
                invalid(
                    "plain_loopback without listen",
                    field="actor.bus.settings.plain_loopback",
                    fix='add listen = "tcp://127.0.0.1:PORT", or remove it',
                )
            )
        return None
    from nerv.bus.remote.audit import Audit
    from nerv.bus.remote.door import Door
    from nerv.bus.remote.keys import KeyRing
    from nerv.bus.remote.settings import listen_at

    listen = listen_at(
        settings.listen,
        plain_loopback=settings.plain_loopback,
        plain_role=Role[settings.plain_role.upper()],
    )
    for module in settings.vocabulary:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConfigurationError(
                invalid(
                    f"cannot import {module!r}: {error}",
                    field="actor.bus.settings.vocabulary",
                    fix="name modules that register message types",
                )
            ) from None
    return Door(
        listen,
        keys=KeyRing(instance.keys),
        audit=Audit(instance.logs / "audit.jsonl"),
        limits=settings.limits,
    )
