"""Reading the machine's processes: odd names, trees, sessions, and pids given away again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerv.supervisor.kill_tree import kill_tree
from nerv.supervisor.process_table import Entry, ancestors, descendants, mentions, snapshot, tree_of


def entry(pid: int, parent: int, *, session: int = 1, born: float = 0.0, dead: bool = False) -> Entry:
    return Entry(
        pid=pid, parent=parent, session=session, born=born, dead=dead, cpu_seconds=0.0, memory_bytes=0
    )


def table(*entries: Entry) -> dict[int, Entry]:
    return {one.pid: one for one in entries}


def test_a_tree_is_the_root_its_session_and_all_below() -> None:
    all_of_them = table(
        entry(10, 1, session=10),
        entry(11, 10, session=10),
        entry(12, 1, session=10),  # its parent has died
        entry(13, 12, session=13),  # it left the session
        entry(20, 1, session=20),
    )
    assert tree_of(all_of_them, 10) == {10, 11, 12, 13}


def test_a_member_seen_earlier_still_belongs_unless_its_pid_is_anothers_now() -> None:
    now = table(entry(10, 1, session=10), entry(30, 1, session=30, born=5.0), entry(31, 30, session=30))
    assert tree_of(now, 10, [(30, 5.0)]) == {10, 30, 31}
    assert tree_of(now, 10, [(30, 4.0)]) == {10}


def test_the_dead_are_no_members() -> None:
    assert tree_of(table(entry(10, 1, session=10, dead=True), entry(11, 10, session=10)), 10) == {11}


@given(parents=st.dictionaries(st.integers(2, 30), st.integers(1, 30), max_size=29))
def test_descendants_are_those_with_the_root_among_their_ancestors(parents: dict[int, int]) -> None:
    all_of_them = table(*(entry(pid, parent) for pid, parent in parents.items()))
    expected = {
        pid for pid in parents if any(1 in (pid, parents.get(one)) for one in ancestors(all_of_them, pid))
    }
    assert descendants(all_of_them, [1]) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_name_with_parentheses_and_spaces_is_no_trouble(tmp_path: Path) -> None:
    odd = tmp_path / "a) Z (1 2"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", odd)
    process = subprocess.Popen([str(odd), "60"])
    try:
        found = snapshot()[process.pid]
        assert (found.parent, found.dead) == (os.getpid(), False)
    finally:
        process.kill()
        process.wait()


def gone(pids: Iterable[int]) -> bool:
    now = snapshot()
    return all(pid not in now or now[pid].dead for pid in pids)


def test_a_mark_is_found_in_the_environment_and_on_the_command_line() -> None:
    script = "import time; print('runs', flush=True); time.sleep(60)"
    environ = {**os.environ, "NERV_INCARNATION": "abc123"}
    marked = subprocess.Popen([sys.executable, "-c", script], env=environ, stdout=subprocess.PIPE)
    named = subprocess.Popen([sys.executable, "-c", script, "--nerv-run=xyz789"], stdout=subprocess.PIPE)
    try:
        for process in (marked, named):
            # Until it has executed, a forked process shows its parent's command line and environment.
            assert process.stdout is not None
            assert process.stdout.readline() == b"runs\n"
        assert mentions(marked.pid, "NERV_INCARNATION=abc123")
        assert not mentions(marked.pid, "NERV_INCARNATION=abc124")
        assert mentions(named.pid, "--nerv-run=xyz789")
    finally:
        for process in (marked, named):
            process.kill()
            process.communicate()


def test_killing_a_tree_spares_the_killer_and_its_ancestors() -> None:
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    me = snapshot()[os.getpid()]
    # A mark that no process of this machine can carry by chance: whoever does, and is an orphan, is killed.
    mark = f"mark-{uuid.uuid4()}"
    assert kill_tree(process.pid, mark=mark, known=frozenset({me.key})) == frozenset()
    process.wait()
    assert gone([process.pid])
