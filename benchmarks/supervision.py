"""How soon an actor that was killed is ready again, and how soon nothing is left when the supervisor is killed.

One idle cluster with the default actors; each is killed by SIGKILL several times, the supervisor once for each start.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.scratch import scratch_home
from nerv.client import Client
from nerv.errors import NervError
from nerv.instance import Instance
from nerv.messages import SUPERVISOR, ActorStatus, SupervisorStatus
from nerv.supervisor.control import start_detached, stop_running

ROUNDS = 5
STARTS = 5
REST = 3.0
"""Seconds between two kills of one actor: restarts that follow each other closely wait on purpose."""
LOOK = 0.01
SECONDS = 60.0


async def _actors(client: Client) -> dict[str, ActorStatus]:
    status = await client.request(SUPERVISOR, SupervisorStatus(), timeout=5.0)
    return {actor.name: actor for actor in status.actors}


async def _ready_again(client: Client, name: str) -> float:
    """Kill an actor; seconds until its successor is ready."""
    before = (await _actors(client))[name].pid
    assert before is not None, f"{name} has no process"
    began = time.perf_counter()
    os.kill(before, signal.SIGKILL)
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                now = (await _actors(client))[name]
                if now.pid not in (None, before) and now.state == "ready":
                    return time.perf_counter() - began
            except NervError:
                pass  # the bus itself may be the one that was killed
            await asyncio.sleep(LOOK)


def _processes(mark: bytes) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            environ = Path(f"/proc/{process.pid}/environ").read_bytes()
            if mark in environ and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (OSError, psutil.Error):
            continue
    return found


async def _restarts(instance: Instance) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {}
    await asyncio.to_thread(start_detached, instance, None)
    try:
        async with Client(instance) as client:
            names = [name for name, actor in (await _actors(client)).items() if actor.pid is not None]
            for _ in range(ROUNDS):
                for name in names:
                    times.setdefault(name, []).append(await _ready_again(client, name))
                await asyncio.sleep(REST)
    finally:
        await asyncio.to_thread(stop_running, instance)
    return times


async def _deaths(instance: Instance, mark: bytes) -> list[float]:
    """Seconds from the supervisor's death to that of the last of its processes, browsers included."""
    times = []
    for _ in range(STARTS):
        await asyncio.to_thread(start_detached, instance, None)
        async with Client(instance) as client:
            pid = (await client.request(SUPERVISOR, SupervisorStatus())).supervisor_pid
        began = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(SECONDS):
            while _processes(mark):  # noqa: ASYNC110 - other people's processes set no event
                await asyncio.sleep(LOOK)
        times.append(time.perf_counter() - began)
    return times


async def _measure() -> dict[str, Any]:
    with scratch_home() as home:
        instance = Instance.locate()
        restarts = await _restarts(instance)
        deaths = await _deaths(instance, f"NERV_HOME={home}".encode())
    return {
        "kills_of_each": ROUNDS,
        "ready_again_median_s": {name: round(statistics.median(each), 3) for name, each in restarts.items()},
        "ready_again_max_s": {name: round(max(each), 3) for name, each in restarts.items()},
        "reach_light_s": 0.5,
        "reach_driver_s": 2.0,
        "all_gone_median_s": round(statistics.median(deaths), 3),
        "all_gone_max_s": round(max(deaths), 3),
        "reach_all_gone_s": 2.0,
    }


def main() -> int:
    json.dump(asyncio.run(_measure()), sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
