"""One holder per instance, in a directory that nobody else could have prepared."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from nerv.errors import ConfigurationError
from nerv.instance import Instance
from nerv.supervisor import lock
from nerv.supervisor.lock import (
    AlreadyRunning,
    InstanceLock,
    Running,
    new_run_marker,
    run_prefix,
    running_info,
    secure_runtime,
)

ME = Running(pid=4242, started_at=1.0, run="nerv-x-1")


@pytest.fixture
def instance(nerv_home: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    monkeypatch.setattr(lock, "PROBE_SECONDS", 0.0)
    found = Instance.locate(environ={"NERV_HOME": str(nerv_home)})
    secure_runtime(found)
    return found


def test_the_holder_can_be_asked_for_and_only_while_it_holds(instance: Instance) -> None:
    assert running_info(instance) is None
    held = InstanceLock(instance)
    held.acquire(ME)
    assert running_info(instance) == ME
    held.release()
    assert running_info(instance) is None
    assert not instance.supervisor_lock.exists()


def test_a_second_holder_is_refused_with_the_pid_of_the_first(instance: Instance) -> None:
    held = InstanceLock(instance)
    held.acquire(ME)
    with pytest.raises(AlreadyRunning, match="pid 4242"):
        InstanceLock(instance).acquire(ME)
    held.release()
    InstanceLock(instance).acquire(ME)


def test_what_a_killed_holder_left_in_the_file_counts_for_nothing(instance: Instance) -> None:
    instance.supervisor_lock.write_bytes(
        b'{"pid": 1, "started_at": 1, "run": "x"}\nand more text than a new one has' * 9
    )
    assert running_info(instance) is None
    held = InstanceLock(instance)
    held.acquire(ME)
    assert running_info(instance) == ME
    held.release()


def test_a_lock_on_a_file_that_was_removed_meanwhile_is_no_lock(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[bool] = []

    def same_file(descriptor: int, path: Path) -> bool:
        if not removed:
            path.unlink()
            removed.append(True)
        return path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())

    monkeypatch.setattr(lock, "_same_file", same_file)
    held = InstanceLock(instance)
    held.acquire(ME)
    assert running_info(instance) == ME
    held.release()


def test_the_runtime_directory_is_for_this_user_alone(instance: Instance) -> None:
    instance.runtime.chmod(0o777)
    secure_runtime(instance)
    assert stat.S_IMODE(instance.runtime.stat().st_mode) == 0o700


def test_a_symbolic_link_or_a_file_in_its_place_is_refused(instance: Instance, tmp_path: Path) -> None:
    instance.scratch.rmdir()
    instance.runtime.rmdir()
    instance.runtime.symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(ConfigurationError, match="symbolic link"):
        secure_runtime(instance)
    instance.runtime.unlink()
    instance.runtime.touch()
    with pytest.raises(ConfigurationError, match="no directory"):
        secure_runtime(instance)


def test_a_directory_of_another_user_is_refused(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(ConfigurationError, match="not to you"):
        secure_runtime(instance)


def test_run_markers_differ_by_run_and_share_the_prefix_of_their_instance(nerv_home: Path) -> None:
    one = Instance.locate("one", environ={"NERV_HOME": str(nerv_home)})
    two = Instance.locate("two", environ={"NERV_HOME": str(nerv_home)})
    assert new_run_marker(one) != new_run_marker(one)
    assert new_run_marker(one).startswith(run_prefix(one))
    assert not new_run_marker(two).startswith(run_prefix(one))
