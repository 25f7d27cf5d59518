"""The server process: binds, says READY, and ends at once on SIGTERM, SIGINT or with its parent."""

import asyncio
import os
import socket
from pathlib import Path
from types import FrameType

import uvicorn
from msgspec import Struct

from drivers.playground.app import make_app
from drivers.playground.conversations import Library
from drivers.playground.generation import Generations
from drivers.playground.script import Pace
from drivers.playground.site import ChunkLog, Site

PARENT_LOOK_SECONDS = 0.5


class Options(Struct, frozen=True, kw_only=True):
    """`port` 0 takes a free one. `parent` is the process id whose end ends the server."""

    host: str = "127.0.0.1"
    port: int = 0
    pace: Pace = Pace()
    log: Path | None = None
    parent: int | None = None


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, url: str) -> None:
        super().__init__(config)
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(f"READY {self._url}", flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # A stalled reply would hold a graceful end for ever.
        self.should_exit = self.force_exit = True


async def serve(options: Options) -> None:
    """Serve until told to end. Raises OSError when the address cannot be bound."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((options.host, options.port))
        log = ChunkLog(options.log)
        try:
            async with asyncio.TaskGroup() as tasks:
                generations = Generations(tasks, options.pace, log.chunk)
                site = Site(Library(), generations, options.pace, log)
                url = f"http://{options.host}:{listener.getsockname()[1]}/"
                server = _Server(_config(site), url)
                watch = tasks.create_task(_watch_parent(server, options.parent)) if options.parent else None
                await server.serve(sockets=[listener])
                generations.close()
                if watch is not None:
                    watch.cancel()
        finally:
            log.close()


def _config(site: Site) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(site),
        lifespan="off",
        access_log=False,
        # The fault `cut` raises through the server on purpose; its traceback would be noise.
        log_level="critical",
        timeout_graceful_shutdown=1,
        server_header=False,
    )


async def _watch_parent(server: _Server, parent: int) -> None:
    while _alive(parent):  # noqa: ASYNC110 - another process sets no event of ours
        await asyncio.sleep(PARENT_LOOK_SECONDS)
    server.should_exit = server.force_exit = True


def _alive(pid: int) -> bool:
    # When the real parent ends, the process gets another one, even while the old id is still a zombie.
    if os.getppid() == pid:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
