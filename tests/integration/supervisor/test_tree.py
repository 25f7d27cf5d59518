"""Start, restart and stop with real processes: order, strategies, back-off, ladders."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import psutil

from tests.integration.supervisor.harness import Rig, alive, until

CORE = """
[supervisor]
restart_limit = 3
[group.bus]
[group.core]
strategy = "STRATEGY"
[group.drivers]
after = ["bus"]
[actor.bus]
group = "bus"
run = "json:X"
settings = { LOG }
[actor.store]
group = "core"
run = "json:X"
settings = { LOG, do = ["slow:0.3"] }
[actor.queue]
group = "core"
run = "json:X"
settings = { LOG }
[actor.kernel]
group = "core"
run = "json:X"
settings = { LOG }
[actor.driver]
group = "drivers"
run = "json:X"
count = 2
settings = { LOG }
"""
NAMES = ("bus", "store", "queue", "kernel", "driver-1", "driver-2")


def core(strategy: str) -> str:
    return CORE.replace("STRATEGY", strategy)


def single(do: str, more: str = "") -> str:
    return f"""
[supervisor]
restart_limit = 3
backoff_min_seconds = 0.01
[group.bus]
[actor.bus]
group = "bus"
run = "json:X"
settings = {{ LOG }}
[actor.one]
group = "bus"
run = "json:X"
settings = {{ LOG, do = {do} }}
{more}
"""


def pids(rig: Rig) -> dict[str, int]:
    return {name: rig.pid(name) for name in NAMES}


def test_actors_start_when_those_they_need_are_ready_and_stop_in_reverse(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(core("rest_for_one"))
    rig.start()
    rig.wait_ready(*NAMES)
    words = [(entry.word, entry.actor) for entry in rig.entries()]
    for first, then in (("bus", "store"), ("store", "queue"), ("queue", "kernel"), ("bus", "driver-1")):
        assert words.index(("ready", first)) < words.index(("start", then))
    assert words.index(("start", "driver-1")) < words.index(("ready", "store")), (
        "independent ones go side by side"
    )
    assert rig.stop() == 0
    stopped = rig.order("stop")
    assert set(stopped[:2]) == {"driver-1", "driver-2"}
    assert stopped[2:] == ["kernel", "queue", "store", "bus"]


def kill_and_wait(rig: Rig, name: str, *again: str) -> set[str]:
    """Kill an actor, wait until ``again`` are ready a second time; the names of those with a new pid."""
    rig.start()
    rig.wait_ready(*NAMES)
    before = pids(rig)
    os.kill(before[name], signal.SIGKILL)
    rig.wait_ready(*again, times=2)
    after = pids(rig)
    assert rig.stop() == 0
    assert all(len(rig.entries(one, "start")) <= 2 for one in NAMES)
    return {one for one in NAMES if before[one] != after[one]}


def test_rest_for_one_restarts_what_comes_after(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(core("rest_for_one"))
    assert kill_and_wait(rig, "queue", "queue", "kernel") == {"queue", "kernel"}
    second = [entry for entry in rig.entries() if entry.actor in ("queue", "kernel")][4:]
    assert [(entry.actor, entry.word) for entry in second[:5]] == [
        ("kernel", "stop"),
        ("queue", "start"),
        ("queue", "ready"),
        ("kernel", "start"),
        ("kernel", "ready"),
    ]


def test_one_for_all_restarts_the_group(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(core("one_for_all"))
    assert kill_and_wait(rig, "kernel", "store", "queue", "kernel") == {"store", "queue", "kernel"}


def test_one_for_one_restarts_one(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(core("one_for_one"))
    assert kill_and_wait(rig, "store", "store") == {"store"}


def test_the_death_of_the_bus_restarts_nothing_else(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(core("rest_for_one"))
    assert kill_and_wait(rig, "bus", "bus") == {"bus"}


def test_an_actor_that_keeps_failing_is_parked_and_its_siblings_go_on(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(single('["exit:1"]'))
    rig.start()
    until("it is parked", lambda: rig.events("actor parked", "one"))
    assert len(rig.entries("one", "start")) == 4
    assert len(rig.entries("bus", "start")) == 1
    assert rig.stop() == 0


def test_a_parked_actor_is_tried_again(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(
        single('["exit:1"]').replace("restart_limit = 3", "restart_limit = 1\nparked_seconds = 0.2")
    )
    rig.start()
    until("it is parked twice", lambda: len(rig.events("actor parked", "one")) >= 2)
    assert rig.stop() == 0


def test_a_refused_configuration_is_not_tried_again(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(single('["exit:78"]'))
    rig.start()
    until("it is refused", lambda: rig.events("actor refused its configuration: not retried", "one"))
    assert len(rig.entries("one", "start")) == 1
    os.kill(rig.running.pid, signal.SIGHUP)
    until("a reload tries it once more", lambda: len(rig.entries("one", "start")) == 2)
    assert rig.stop() == 0


def test_a_transient_actor_that_ended_well_stays_down_and_counts_as_ready(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(single('["ready_then_exit:0"]', 'restart = "transient"'))
    rig.start()
    until("the tree is ready", lambda: rig.events("ready", "supervisor"))
    until("it is finished", lambda: rig.events("finished", "one"))
    assert len(rig.entries("one", "start")) == 1
    assert rig.stop() == 0


def test_an_actor_that_does_not_become_ready_in_time_has_failed(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(single('["never"]', "start_seconds = 0.3"))
    rig.start()
    until("it was started again", lambda: len(rig.entries("one", "start")) >= 2)
    assert "not ready within 0.3 s" in str(rig.events("actor does not stop: asking for its stacks", "one"))
    assert rig.stop() == 0


def test_an_actor_that_ignores_term_is_killed_with_its_family(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(single('["family", "stubborn"]', "stop_seconds = 0.2"))
    rig.start()
    rig.wait_ready("bus", "one")
    actor = psutil.Process(rig.pid("one"))
    family = until("the family is complete", lambda: (found := actor.children(recursive=True))[2:] and found)
    assert rig.stop() == 0
    assert not alive([actor, *family])
    assert rig.files_left() == []


def test_an_actor_that_takes_too_much_memory_is_restarted(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(
        single('["eat:80"]', "memory_mb = 60").replace("[supervisor]", "[supervisor]\nsample_seconds = 0.1")
    )
    rig.start()
    until("it was started again", lambda: len(rig.entries("one", "start")) >= 2)
    assert rig.entries("one", "stop"), "politely"
    assert "over its limit of 60 MB" in str(rig.events("memory limit", "one"))
    assert rig.stop() == 0


def test_a_reload_changes_only_what_differs(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(core("rest_for_one"))
    rig.start()
    rig.wait_ready(*NAMES)
    before = pids(rig)
    rig.write(core("rest_for_one").replace("count = 2", "count = 3"))
    os.kill(rig.running.pid, signal.SIGHUP)
    rig.wait_ready("driver-3")
    rig.write(core("rest_for_one").replace("count = 2", "count = 1"))
    os.kill(rig.running.pid, signal.SIGHUP)
    until("two drivers are gone", lambda: {"driver-2", "driver-3"} <= set(rig.order("stop")))
    rig.write("[group.bus]\nstrategie = 3\n")
    os.kill(rig.running.pid, signal.SIGHUP)
    said = until("the mistake is told", lambda: rig.events("not reloaded: nothing is changed"))
    assert "supervisor.toml, line 2" in str(said)
    assert pids(rig) == before
    assert rig.stop() == 0


def test_a_wrong_file_is_told_before_anything_is_made(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig("[group.bus]\n[actor.bus]\ngrup = 3\n")
    rig.start()
    assert rig.process.wait(20) != 0
    assert "supervisor.toml, line 3: unknown key 'grup'" in rig.said()
    assert not rig.instance.runtime.exists()
