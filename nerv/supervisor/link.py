"""The supervisor's peer on the bus, named ``supervisor``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nerv.bus.endpoints import Endpoints
from nerv.bus.handlers import collect
from nerv.bus.peer_socket import Peer
from nerv.bus.vocabulary import Message
from nerv.instance import Instance
from nerv.messages import SUPERVISOR, Tick
from nerv.supervisor.journal import Journal

TICKS_KEPT = 4096
FENCED_PAUSE_SECONDS = 1.0


class BusLink:
    """Connects whenever there is a broker; what is published without one waits, bounded, in the peer."""

    def __init__(self, instance: Instance, journal: Journal) -> None:
        self._endpoints = Endpoints.of_directory(
            instance.command_socket, instance.event_in_socket, instance.event_out_socket
        )
        self._journal = journal
        self._peer: Peer | None = None

    def publish(self, topic: str, message: Message) -> None:
        if self._peer is not None:
            self._peer.publish(topic, message)

    async def run(self, owner: object, heard: Callable[[Tick], None]) -> None:
        """Serve the handlers of ``owner`` and hand over ticks until cancelled."""
        while True:
            peer = Peer(self._endpoints, name=SUPERVISOR, kind="supervisor", handlers=collect(owner))
            await peer.open()
            self._peer = peer
            try:
                async with asyncio.TaskGroup() as group:
                    listening = group.create_task(self._listen(peer, heard))
                    await peer.fenced.wait()
                    listening.cancel()
            finally:
                self._peer = None
                await peer.close()
            self._journal.write("warning", "another peer took the name of the supervisor on the bus")
            await asyncio.sleep(FENCED_PAUSE_SECONDS)

    async def _listen(self, peer: Peer, heard: Callable[[Tick], None]) -> None:
        async for event in peer.subscribe("tick.", capacity=TICKS_KEPT):
            if isinstance(event.message, Tick):
                heard(event.message)
