"""`make chaos`: a stream of prompts, and kill -9 on random processes. Nothing may be lost or sent twice.

Ends with 1 when a task was lost, has another text, or a prompt reached the page more than once. A task that says
`unharvestable` is counted apart: the page took the prompt in the instant of the kill, and NERV would not guess.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from drivers.playground import Pace, launch, reply_for
from kernel.tasks import TaskState, TroubleKind
from tests.chaos.workload import Workload, added_playground
from tests.cluster import Cluster, browser_of, cluster

PAUSE = (0.5, 4.0)
"""Seconds between two kills, chosen at random."""
IN_FLIGHT = 8


async def _feed(load: Workload, running: Cluster, tasks: int) -> None:
    """Keep some tasks waiting at any time, until all are submitted."""
    async with running.client() as client:
        for number in range(tasks):
            await load.add(client, f"chaos {number}")
            if number >= IN_FLIGHT:
                await load.ended(list(load.prompts)[number - IN_FLIGHT], seconds=300)


async def _kill(running: Cluster, rng: random.Random) -> str:
    """kill -9 one process of the tree, or one browser; what it was."""
    actors = [actor for actor in (await running.status()).actors if actor.pid is not None]
    victim = rng.choice(actors)
    assert victim.pid is not None
    pid, name = victim.pid, victim.name
    if name.startswith("driver") and rng.random() < 0.5:
        try:
            pid, name = browser_of(pid).pid, f"the browser of {name}"
        except AssertionError:
            return f"{name} (its browser was just dead)"
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return f"{name} (it was just dead)"
    return name


async def _judge(load: Workload, running: Cluster) -> bool:
    tasks = await load.ended(*load.prompts, seconds=600)
    wrong = honest = 0
    async with running.client() as client:
        for task in tasks:
            if task.state is TaskState.DONE:
                text = (await load.reply(client, task.id)).text
                if text != reply_for(load.prompts[task.id]):
                    wrong += 1
                    print(f"{task.id} has another text", file=sys.stderr)
            elif task.error is not None and task.error.kind is TroubleKind.UNHARVESTABLE:
                honest += 1
            else:
                wrong += 1
                print(f"{task.id} is {task.state}: {task.error}", file=sys.stderr)
    twice = sum(count > 1 for count in (await load.playground.stats()).received.values())
    print(
        f"{len(tasks)} tasks: {len(tasks) - wrong - honest} exact, {honest} say they cannot be harvested, "
        f"{wrong} wrong or lost; {twice} prompts sent twice"
    )
    return not wrong and not twice


async def _run(kills: int, tasks: int, seed: int) -> bool:
    rng = random.Random(seed)
    home = Path(tempfile.mkdtemp(prefix="nv-"))
    try:
        async with (
            launch(pace=Pace(chunks=20, seconds=1.5)) as playground,
            cluster(home) as running,
            added_playground(running, playground) as load,
        ):
            async with asyncio.TaskGroup() as group:
                feeding = group.create_task(_feed(load, running, tasks))
                for number in range(1, kills + 1):
                    await asyncio.sleep(rng.uniform(*PAUSE))
                    print(f"kill {number} of {kills}: {await _kill(running, rng)}", file=sys.stderr)
                    if feeding.done():
                        break
            return await _judge(load, running)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--tasks", type=int, default=150)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", file=sys.stderr)
    return 0 if asyncio.run(_run(chosen.kills, chosen.tasks, chosen.seed)) else 1


if __name__ == "__main__":
    sys.exit(main())
