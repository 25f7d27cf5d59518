"""Actors that the tests of this folder run as processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

from nerv.actor import Actor
from nerv.bus.handlers import Context, handles
from nerv.errors import ConfigurationError, invalid
from nerv.messages import ActorRestart, Ok, Reloaded, SupervisorReload, SupervisorStop


class Worker(Actor):
    """Answers at once, or after a while; has a child process of its own."""

    async def start(self) -> None:
        self.answered = 0
        self.child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])  # noqa: ASYNC220

    async def stop(self) -> None:
        self.child.kill()
        self.child.wait()
        self.log.info("stopped")

    def gauges(self) -> dict[str, float]:
        return {"answered_total": float(self.answered)}

    @handles(ActorRestart)
    async def restart(self, message: ActorRestart, _: Context) -> Ok:
        self.answered += 1
        if message.name == "x":
            self.log.warning("asked to restart", name=message.name)
        return Ok()

    @handles(SupervisorStop)
    async def slow(self, _: SupervisorStop, __: Context) -> Ok:
        await asyncio.sleep(0.3)
        return Ok()


class Relay(Actor):
    """Hands on what it is asked."""

    @handles(SupervisorReload)
    async def forward(self, _: SupervisorReload, __: Context) -> Reloaded:
        await self.peer.request("worker", ActorRestart(name="from the relay"))
        return Reloaded()


class Watcher(Actor):
    """Counts the events of one topic, and those that it missed."""

    async def start(self) -> None:
        self.events = self.peer.subscribe("log.flood", capacity=100_000)
        await self.events.ready()

    def gauges(self) -> dict[str, float]:
        counted = self.events.statistics()
        return {"received_total": float(counted.received), "missed_total": float(counted.missed)}


class Hanging(Worker):
    """Its event loop stops turning right after READY."""

    async def start(self) -> None:
        await super().start()
        asyncio.get_running_loop().call_later(0.05, hang_for_ever)


def hang_for_ever() -> None:
    while True:
        time.sleep(1)


class Misconfigured(Actor):
    async def start(self) -> None:
        raise ConfigurationError(invalid("0 pages", field="settings.pages", fix="at least 1"))


class Failing(Actor):
    async def start(self) -> None:
        self.background(self.fail(), name="fail")

    async def fail(self) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("on purpose")
