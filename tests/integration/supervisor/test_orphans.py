"""Promise P7: two seconds after the supervisor is killed, no process it started, nor any of theirs, is alive."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable

import psutil
import pytest

from tests.integration.supervisor.harness import Rig, alive, until

PROMISE_SECONDS = 2.0

TREE = """
[group.bus]
[group.drivers]
[actor.bus]
group = "bus"
run = "json:X"
settings = { LOG }
[actor.good]
group = "drivers"
run = "json:X"
settings = { LOG, do = ["family"] }
[actor.bad]
group = "drivers"
run = "json:X"
settings = { LOG, do = ["family", "deaf", "stubborn"] }
[actor.frozen]
group = "drivers"
run = "json:X"
settings = { LOG, do = ["family", "deaf", "freeze"] }
"""
EACH_FAMILY = 4  # the actor, a helper in a session of its own, its hidden child, and a stubborn one


def full_tree(rig: Rig, supervisor: int) -> list[psutil.Process]:
    """Every process below the supervisor once all three families are complete."""

    def complete() -> list[psutil.Process]:
        below = psutil.Process(supervisor).children(recursive=True)
        return below if len(below) >= 1 + 3 * EACH_FAMILY else []

    rig.wait_ready("bus", "good", "bad", "frozen")
    return until("three families", complete)


def assert_all_dead_in_time(processes: list[psutil.Process], killed_at: float) -> None:
    while left := alive(processes):
        assert time.monotonic() - killed_at < PROMISE_SECONDS, f"still alive: {left}"
        time.sleep(0.02)


def test_nobody_survives_a_killed_supervisor_not_even_hidden_frozen_or_stubborn_ones(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(TREE)
    rig.start()
    everyone = full_tree(rig, rig.running.pid)
    os.kill(rig.running.pid, signal.SIGKILL)
    assert_all_dead_in_time([*everyone, psutil.Process(rig.process.pid)], time.monotonic())
    assert rig.process.wait(5) == 128 + signal.SIGKILL


def test_nobody_survives_a_killed_watchdog(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(TREE)
    rig.start()
    supervisor = psutil.Process(rig.running.pid)
    everyone = full_tree(rig, supervisor.pid)
    rig.process.kill()
    assert_all_dead_in_time([*everyone, supervisor], time.monotonic())


def test_a_watchdog_killed_while_its_supervisor_hangs_leaves_nobody_once_it_runs_again(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(TREE)
    rig.start()
    supervisor = psutil.Process(rig.running.pid)
    everyone = full_tree(rig, supervisor.pid)
    supervisor.suspend()
    rig.process.kill()
    supervisor.resume()
    assert_all_dead_in_time([*everyone, supervisor], time.monotonic())


def test_the_family_of_a_killed_actor_dies_with_it(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(TREE)
    rig.start()
    full_tree(rig, rig.running.pid)
    actor = psutil.Process(rig.pid("good"))
    family = actor.children(recursive=True)
    assert len(family) == EACH_FAMILY - 1
    actor.kill()
    rig.wait_ready("good", times=2)
    assert not alive(family)
    others = [psutil.Process(rig.pid(name)) for name in ("bus", "bad", "frozen")]
    assert alive(others) == others
    supervisor = rig.running.pid
    rig.process.kill()
    until("all is gone", lambda: not psutil.pid_exists(supervisor), 5)


def test_the_next_start_ends_what_a_run_without_watchdog_left(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(TREE.replace('"freeze"', '"stubborn"'), watched=False)
    rig.start()
    actor = rig.running.pid
    everyone = full_tree(rig, actor)
    marked = [one for one in everyone if any("nerv-run=" in word for word in one.cmdline())]
    deaf = [one for one in marked if one.pid in (rig.pid("bad"), rig.pid("frozen"))]
    (rig.instance.command_socket).touch()
    rig.process.kill()
    rig.process.wait(5)
    assert alive(deaf) == deaf, "these ignore the end of their supervisor: the case that the sweep is for"
    rig.write('[group.bus]\n[actor.bus]\ngroup = "bus"\nrun = "json:X"\nsettings = { LOG }\n')
    rig.start()
    rig.wait_ready("bus", times=2)
    assert not alive(deaf)
    assert not rig.instance.command_socket.exists()
    assert rig.stop() == 0
    for one in alive(everyone):  # hidden ones without any mark, which only a watchdog can find
        one.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_ordered_stop_leaves_no_process_no_socket_and_no_lock(
    make_rig: Callable[..., Rig], number: signal.Signals
) -> None:
    rig = make_rig(TREE.replace('"stubborn"', '"deaf"').replace('"freeze"', '"deaf"'))
    rig.start()
    everyone = full_tree(rig, rig.running.pid)
    os.kill(rig.running.pid, number)
    assert rig.process.wait(20) == 0
    assert not alive(everyone)
    assert rig.files_left() == []


def test_a_second_order_to_stop_hurries(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig("[supervisor]\nstop_seconds = 600\nstop_total_seconds = 600\n" + TREE)
    rig.start()
    everyone = full_tree(rig, rig.running.pid)
    os.kill(rig.running.pid, signal.SIGINT)
    until("it is stopping", lambda: rig.events("stopping"))
    assert rig.process.poll() is None
    os.kill(rig.running.pid, signal.SIGINT)
    assert rig.process.wait(10) == 0
    assert not alive(everyone)


def test_a_second_supervisor_is_refused_and_told_the_pid_of_the_first(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig('[group.bus]\n[actor.bus]\ngroup = "bus"\nrun = "json:X"\nsettings = { LOG }\n')
    rig.start()
    rig.wait_ready("bus")
    second = Rig(home=rig.home, tree=rig.tree)
    second.start()
    assert second.process.wait(20) != 0
    assert f"pid {rig.running.pid}" in second.said()
    assert rig.process.poll() is None
    assert len(rig.entries("bus", "start")) == 1
    assert rig.stop() == 0
    assert isinstance(second.process, subprocess.Popen)
