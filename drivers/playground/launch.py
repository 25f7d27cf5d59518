"""Starting a playground of one's own, from a test, the demo or a benchmark."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec

from drivers.playground.conversations import Stats
from drivers.playground.script import Pace

READY_SECONDS = 20.0
END_SECONDS = 3.0
STATS_SECONDS = 5.0
_ROOT = Path(__file__).parents[2]


class PlaygroundFailed(Exception):
    """The playground did not start. The text carries what it wrote."""


class Playground:
    """A running playground. `url` ends in a slash."""

    def __init__(self, url: str, pid: int, client: httpx.AsyncClient) -> None:
        self.url = url
        self.pid = pid
        self._client = client

    async def stats(self) -> Stats:
        """What it received so far. Raises httpx.HTTPError when it does not answer within `STATS_SECONDS`."""
        answer = await self._client.get(self.url + "api/stats")
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=Stats)


@asynccontextmanager
async def launch(
    *, pace: Pace | None = None, log: Path | None = None, port: int = 0, ready_seconds: float = READY_SECONDS
) -> AsyncIterator[Playground]:
    """Start a playground on a free loopback port; at the end nothing of it is left.

    Raises `PlaygroundFailed` when it is not ready within `ready_seconds`.
    """
    pace = pace or Pace()
    options = [
        f"--port={port}",
        f"--chunks={pace.chunks}",
        f"--seconds={pace.seconds}",
        f"--pause={pace.pause}",
    ]
    options += [f"--slow={pace.slow}", f"--parent-pid={os.getpid()}"]
    if log is not None:
        options.append(f"--log={log}")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "drivers.playground",
        *options,
        cwd=_ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        url = await _ready(process, ready_seconds)
        # trust_env off: a proxy of the surroundings must not see loopback traffic.
        async with httpx.AsyncClient(trust_env=False, timeout=STATS_SECONDS) as client:
            yield Playground(url, process.pid, client)
    finally:
        await _end(process)


async def _ready(process: asyncio.subprocess.Process, seconds: float) -> str:
    assert process.stdout is not None
    said = b""
    try:
        async with asyncio.timeout(seconds):
            while line := await process.stdout.readline():
                said += line
                if line.startswith(b"READY "):
                    return line.split()[1].decode()
    except TimeoutError:
        raise PlaygroundFailed(
            f"not ready within {seconds} s; it wrote: {said.decode(errors='replace')}"
        ) from None
    raise PlaygroundFailed(f"it ended with code {await process.wait()}: {said.decode(errors='replace')}")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), END_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
    # The transport of the output pipe warns when it is collected before it has seen the end of file.
    assert process.stdout is not None
    await process.stdout.read()
