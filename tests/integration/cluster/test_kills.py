"""kill -9 on any process while replies stream: the task ends DONE with the right text, and nothing is sent twice."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from drivers.playground import Pace, launch
from tests.chaos.workload import Workload, added_playground
from tests.cluster import Cluster, browser_of, cluster, until

pytestmark = [pytest.mark.chaos, pytest.mark.browser]

SLOW = Pace(seconds=6.0)
"""Replies that stream long enough to be killed in the middle."""
VICTIMS = ("bus", "store", "queue", "kernel", "driver-1", "telemetry", "browser of driver-1")


async def _kill(running: Cluster, victim: str) -> int:
    """kill -9 the victim; its pid."""
    actor = await running.actor(victim.removeprefix("browser of "))
    assert actor.pid is not None
    pid = browser_of(actor.pid).pid if victim.startswith("browser") else actor.pid
    os.kill(pid, signal.SIGKILL)
    return pid


@pytest.mark.timeout(240)
async def test_each_process_may_die_while_replies_stream(nerv_home: Path) -> None:
    async with (
        launch(pace=SLOW) as playground,
        cluster(nerv_home) as running,
        added_playground(running, playground) as load,
    ):
        for victim in VICTIMS:
            async with running.client() as client:
                ids = await load.add(client, f"{victim} one", f"{victim} two")
                await load.streaming(client, *ids, characters=100)
                pid = await _kill(running, victim)

                def gone(pid: int = pid) -> bool:
                    return not psutil.pid_exists(pid)

                await until(f"{victim} is gone", gone)
            await load.ended(*ids)
            await _all_ready(running)
        await load.check()


@pytest.mark.timeout(120)
async def test_when_the_supervisor_is_killed_everything_dies_and_the_next_up_finishes_the_tasks(
    nerv_home: Path,
) -> None:
    async with launch(pace=SLOW) as playground:
        running = Cluster(home=nerv_home)
        await running.check("up", "-d")
        async with added_playground(running, playground) as load:
            async with running.client() as client:
                ids = await load.add(client, "supervisor one", "supervisor two", "supervisor three")
                await load.streaming(client, *ids[:2], characters=100)
                os.kill((await running.status()).supervisor_pid, signal.SIGKILL)
            await until("every process is gone within 2 s", lambda: not running.processes(), seconds=2.0)
            async with cluster(nerv_home) as running_again:
                load = Workload(cluster=running_again, playground=playground, prompts=load.prompts)
                await load.check()


async def _all_ready(running: Cluster) -> None:
    async def ready() -> bool:
        return all(actor.state == "ready" for actor in (await running.status()).actors)

    await until("every actor is ready again", ready)
