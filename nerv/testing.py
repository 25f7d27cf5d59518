"""For tests of actors and clients, yours included: a real broker in a temporary directory, and the memory bus.

async with running_bus() as bus:
    worker = await bus.peer("worker", handlers=collect(Worker()))
    client = await bus.peer("client")
    assert await client.request("worker", Ping()) == Pong()
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from nerv.bus.broker_socket import Broker
from nerv.bus.clock import VirtualClock
from nerv.bus.endpoints import Endpoints
from nerv.bus.handlers import HandlerTable, collect
from nerv.bus.limits import DEFAULT_LIMITS, Limits
from nerv.bus.memory import Faults, MemoryBus, MemoryPeer, Outcome
from nerv.bus.peer_socket import Peer

OPEN_SECONDS = 5.0


class RunningBus:
    """A broker on ipc sockets that can be stopped and started, and the peers made by it."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.endpoints = Endpoints.of_directory(folder / "bus.sock", folder / "pub.sock", folder / "sub.sock")
        self._limits = limits
        self._peers: list[Peer] = []
        self.broker = Broker(self.endpoints, limits=limits)

    async def peer(self, name: str, *, handlers: HandlerTable | None = None, window: int = 256) -> Peer:
        """A connected peer; closed with the bus."""
        peer = Peer(self.endpoints, name=name, handlers=handlers, window=window, limits=self._limits)
        self._peers.append(peer)
        await peer.open(OPEN_SECONDS)
        return peer

    async def stop_broker(self) -> None:
        await self.broker.close()

    def start_broker(self) -> None:
        """A new broker that knows nothing of before."""
        self.broker = Broker(self.endpoints, limits=self._limits)
        self.broker.open()

    async def close(self) -> None:
        for peer in self._peers:
            await peer.close()
        await self.broker.close()


@contextlib.asynccontextmanager
async def running_bus(limits: Limits = DEFAULT_LIMITS) -> AsyncIterator[RunningBus]:
    """A bus in this process and loop, gone without a trace afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="nv-"))
    bus = RunningBus(folder, limits)
    try:
        bus.broker.open()
        yield bus
    finally:
        await bus.close()
        shutil.rmtree(folder)


__all__ = (
    "Faults",
    "MemoryBus",
    "MemoryPeer",
    "Outcome",
    "RunningBus",
    "VirtualClock",
    "collect",
    "running_bus",
)
