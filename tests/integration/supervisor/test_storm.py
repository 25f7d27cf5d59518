"""Random kills of real processes: the tree always comes back whole, in order, and nobody is left over."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable

import psutil
import pytest

from tests.integration.supervisor.harness import Rig, alive, until
from tests.integration.supervisor.test_tree import CORE, NAMES

KILLS = 40


@pytest.mark.chaos
@pytest.mark.parametrize("strategy", ["one_for_one", "rest_for_one", "one_for_all"])
def test_after_a_storm_of_kills_every_actor_lives_once_and_the_order_held(
    make_rig: Callable[..., Rig], strategy: str
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    endless = "restart_limit = 100000"
    tree = CORE.replace("STRATEGY", strategy).replace(
        "restart_limit = 3", f"{endless}\nbackoff_max_seconds = 0.5"
    )
    for group in ("bus", "core", "drivers"):
        tree = tree.replace(f"[group.{group}]", f"[group.{group}]\n{endless}")
    rig = make_rig(tree)
    rig.start()
    rig.wait_ready(*NAMES)
    supervisor = psutil.Process(rig.running.pid)
    for _ in range(KILLS):
        children = supervisor.children()
        if children:
            victim = chance.choice(children)
            number = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
            with contextlib.suppress(psutil.NoSuchProcess):  # an earlier signal was enough
                victim.send_signal(number)
        time.sleep(chance.uniform(0, 0.15))  # the pace of the storm

    def whole() -> bool:
        lives = {name: rig.entries(name)[-1] for name in NAMES}
        return all(life.word == "ready" for life in lives.values()) and {
            life.pid for life in lives.values()
        } == {child.pid for child in supervisor.children() if alive([child])}

    until(f"the tree is whole again (seed {seed})\n{rig.said()}", whole, seconds=40)
    if strategy == "rest_for_one":
        born = [rig.entries(name, "start")[-1].at for name in ("store", "queue", "kernel")]
        assert born == sorted(born), f"seed {seed}"
    everyone = supervisor.children(recursive=True)
    os.kill(supervisor.pid, signal.SIGTERM)
    assert rig.process.wait(20) == 0
    assert not alive(everyone)
    assert rig.files_left() == []
