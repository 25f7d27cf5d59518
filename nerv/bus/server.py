"""The bus as a supervised process: bind under a lock, say READY, tick, stop when told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time

import msgspec

from nerv.bus.broker_core import BUS
from nerv.bus.broker_socket import Broker
from nerv.bus.limits import Limits
from nerv.bus.peer_socket import endpoints_of
from nerv.bus.sockets import AddressLock
from nerv.child import Life
from nerv.errors import ConfigurationError, invalid
from nerv.logs import BoundLog
from nerv.messages import LogLine, Tick

TICK_SECONDS = 1.0


class BusActor:
    """``[actor.bus.settings]`` may hold a table ``limits`` with any field of `nerv.bus.limits.Limits`."""

    async def run(self, life: Life) -> None:
        environment = life.environment
        log = BoundLog("nerv.bus")
        limits = limits_from(environment.settings)
        environment.instance.create()
        lock = AddressLock(environment.instance.bus_lock)
        lock.acquire()
        broker = Broker(
            endpoints_of(environment.instance), limits=limits, incarnation=environment.incarnation
        )
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


def limits_from(settings: dict[str, object]) -> Limits:
    """Raises :class:`ConfigurationError` naming the setting."""
    unknown = set(settings) - {"limits"}
    if unknown:
        raise ConfigurationError(
            invalid(
                f"no such setting: {', '.join(sorted(unknown))}",
                field="actor.bus.settings",
                fix="use `limits`",
            )
        )
    try:
        limits = msgspec.convert(settings.get("limits", {}), Limits)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            invalid(
                str(error),
                field="actor.bus.settings.limits",
                fix="see nerv/bus/limits.py for names and units",
            )
        ) from None
    return limits.check()
