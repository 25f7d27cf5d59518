"""A real cluster for tests: started and stopped by the `nerv` command, as a user does it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, overload

import psutil

from nerv.client import Client
from nerv.instance import Instance
from nerv.messages import SUPERVISOR, ActorStatus, ClusterStatus, SupervisorStatus

T = TypeVar("T")

COMMAND_SECONDS = 90.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a `nerv` command ended."""

    code: int
    out: str
    err: str


@dataclass(kw_only=True)
class Cluster:
    """One instance under its own home. ``environ`` is added to the environment of every command."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def instance(self) -> Instance:
        return Instance.locate(environ={"NERV_HOME": str(self.home)})

    async def nerv(self, *words: str, stdin: str | None = None, timeout: float = COMMAND_SECONDS) -> Ended:
        """Run a `nerv` command to its end."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "nerv",
            *words,
            stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "NERV_HOME": str(self.home), **self.environ},
        )
        try:
            async with asyncio.timeout(timeout):
                out, err = await process.communicate(stdin.encode() if stdin is not None else None)
        except BaseException:
            process.kill()
            await process.wait()
            raise
        assert process.returncode is not None
        return Ended(code=process.returncode, out=out.decode(), err=err.decode())

    async def check(self, *words: str, **options: float) -> str:
        """A command that must succeed; its stdout."""
        ended = await self.nerv(*words, **options)  # type: ignore[arg-type]
        assert ended.code == 0, f"nerv {' '.join(words)} ended with {ended.code}:\n{ended.out}\n{ended.err}"
        return ended.out

    def client(self) -> Client:
        return Client(self.instance)

    async def status(self) -> ClusterStatus:
        async with self.client() as client:
            return await client.request(SUPERVISOR, SupervisorStatus())

    async def actor(self, name: str) -> ActorStatus:
        return next(actor for actor in (await self.status()).actors if actor.name == name)

    def processes(self) -> list[psutil.Process]:
        """Every process of this instance, by the home in its environment: browsers and orphans too."""
        found = []
        mark = f"NERV_HOME={self.home}".encode()
        for process in psutil.process_iter():
            try:
                environ = Path(f"/proc/{process.pid}/environ").read_bytes()
                if mark in environ and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (OSError, psutil.Error):
                continue
        return found

    def files_left(self) -> list[Path]:
        """What is in the runtime folder: nothing, once the cluster is down."""
        runtime = self.instance.runtime
        return [path for path in runtime.rglob("*") if not path.is_dir()] if runtime.exists() else []


def browser_of(driver_pid: int) -> psutil.Process:
    """The main process of a driver's Chromium."""
    for child in psutil.Process(driver_pid).children(recursive=True):
        words = child.cmdline()
        if any(word.startswith("--nerv-run=") for word in words) and not any(
            word.startswith("--type=") for word in words
        ):
            return child
    raise AssertionError(f"driver {driver_pid} has no browser")


@overload
async def until(
    what: str, condition: Callable[[], Coroutine[Any, Any, T | None]], *, seconds: float = ...
) -> T: ...
@overload
async def until(what: str, condition: Callable[[], T | None], *, seconds: float = ...) -> T: ...
async def until(what: str, condition: Callable[[], object], *, seconds: float = 30.0) -> object:
    """Wait until ``condition`` answers something true, and return it; an AssertionError at the deadline."""
    last: object = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                answer = condition()
                last = await answer if isinstance(answer, Awaitable) else answer
                if last:
                    return last
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {what} (last: {last!r})") from None


@asynccontextmanager
async def cluster(home: Path, *, config: Path | None = None) -> AsyncIterator[Cluster]:
    """A cluster that is up; at the end it is taken down, and whatever is left is an error of the test."""
    running = Cluster(home=home)
    words = ("up", "-d", *(("--config", str(config)) if config else ()))
    await running.check(*words)
    try:
        yield running
    finally:
        ended = await running.nerv("down")
        left = running.processes()
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    assert ended.code == 0, ended.err
    assert not left, f"`nerv down` left processes: {left}"
    assert not running.files_left(), f"`nerv down` left files: {running.files_left()}"
