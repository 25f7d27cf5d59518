"""Starting, finding and stopping from outside, as the commands do it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nerv.errors import ConfigurationError, ErrorCode, NervError
from nerv.instance import Instance
from nerv.supervisor import AlreadyRunning, reload_running, running_info, start_detached, stop_running
from tests.integration.supervisor.harness import alive, until

TREE = """
[group.bus]
[group.work]
[actor.bus]
group = "bus"
run = "nerv.bus.server:BusActor"
[actor.one]
group = "work"
run = "nerv.actor:Actor"
"""


@pytest.fixture
def instance(nerv_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    monkeypatch.setenv("NERV_HOME", str(nerv_home))
    found = Instance.locate()
    yield found
    stop_running(found, force=True)


def written(instance: Instance, tree: str) -> Path:
    instance.config.mkdir(parents=True, exist_ok=True)
    path = instance.config / "supervisor.toml"
    path.write_text(tree)
    return path


def test_a_detached_start_returns_when_all_are_ready_and_goes_on_alone(instance: Instance) -> None:
    written(instance, TREE)
    notes: list[str] = []
    running = start_detached(instance, note=notes.append)
    assert running == running_info(instance)
    assert notes.index("bus is ready") < notes.index("one is starting") < notes.index("one is ready")
    supervisor = psutil.Process(running.pid)
    assert running.watchdog_pid == supervisor.ppid()
    assert os.getpid() not in [parent.pid for parent in supervisor.parents()]
    everyone = [supervisor, *supervisor.parents()[:1], *supervisor.children(recursive=True)]
    assert stop_running(instance) == running.pid
    assert not alive(everyone)
    assert running_info(instance) is None
    assert list(instance.runtime.rglob("*")) == []
    assert stop_running(instance) is None


def test_a_running_instance_is_not_started_twice(instance: Instance) -> None:
    written(instance, TREE)
    running = start_detached(instance)
    with pytest.raises(AlreadyRunning, match=f"pid {running.pid}"):
        start_detached(instance)
    assert running_info(instance) == running


def test_a_wrong_file_is_told_and_nothing_is_started(instance: Instance) -> None:
    written(instance, TREE.replace("[group.work]", "[group.work]\nstrategy = 1"))
    with pytest.raises(
        NervError, match=r"supervisor.toml, line 4: .*strategy|strategy.*supervisor.toml, line 4"
    ):
        start_detached(instance)
    assert running_info(instance) is None


def test_an_actor_that_refuses_its_settings_ends_the_start_with_its_own_words(instance: Instance) -> None:
    written(instance, TREE + "[actor.bus.settings]\nlimit = 3\n")
    with pytest.raises(NervError, match="unknown field `limit`") as caught:
        start_detached(instance)
    assert caught.value.code is ErrorCode.INVALID
    assert caught.value.info.field == "actor.bus"
    assert running_info(instance) is None


def test_a_start_that_takes_too_long_is_taken_back(instance: Instance) -> None:
    slow = TREE + '[actor.never]\ngroup = "work"\nrun = "time:sleep"\nrestart_limit = 1000\n'
    written(instance, slow.replace("[group.bus]", "[supervisor]\nbackoff_min_seconds = 5\n[group.bus]"))
    with pytest.raises(NervError) as caught:
        start_detached(instance, timeout=3.0)
    assert caught.value.code in (ErrorCode.DEADLINE, ErrorCode.INVALID)
    assert running_info(instance) is None


def test_force_ends_even_a_supervisor_that_hangs(instance: Instance) -> None:
    written(instance, TREE)
    running = start_detached(instance)
    everyone = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
    os.kill(running.pid, signal.SIGSTOP)
    with pytest.raises(NervError, match="--force") as caught:
        stop_running(instance, timeout=0.3)
    assert caught.value.code is ErrorCode.DEADLINE
    assert stop_running(instance, force=True) == running.pid
    assert not alive(everyone)
    assert list(instance.runtime.rglob("*")) == []


def test_reload_by_signal(instance: Instance) -> None:
    assert not reload_running(instance)
    path = written(instance, TREE)
    start_detached(instance)
    path.write_text(TREE.replace("actor.one", "actor.other"))
    assert reload_running(instance)
    log = instance.logs / "other.jsonl"
    until("the new actor logs", log.exists)


def test_a_runtime_directory_that_another_could_have_made_is_refused(
    instance: Instance, tmp_path: Path
) -> None:
    instance.runtime.parent.mkdir(parents=True)
    instance.runtime.symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(ConfigurationError, match="symbolic link"):
        start_detached(instance)
    instance.runtime.unlink()
