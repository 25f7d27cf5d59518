"""What runs on this machine, read in one sweep: parents, sessions, memory, processor time, marks of NERV.

Linux: /proc directly, one small file per process. Elsewhere: psutil. Blocking; callers run it in a thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One process. ``born`` tells it from a later one with the same pid (trap: circus 1171)."""

    pid: int
    parent: int
    session: int
    born: float
    dead: bool
    cpu_seconds: float
    memory_bytes: int

    @property
    def key(self) -> tuple[int, float]:
        return self.pid, self.born


Table = Mapping[int, Entry]


def snapshot() -> Table:
    """All processes that can be seen now."""
    if sys.platform == "linux":
        return _linux()
    return _portable()


def _linux() -> Table:
    table: dict[int, Entry] = {}
    for name in os.listdir(PROC):
        if not name.isdecimal():
            continue
        try:
            text = (PROC / name / "stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended while we looked
        # The name in parentheses may hold spaces and parentheses: cut after the last one. See proc_pid_stat(5).
        fields = text[text.rindex(b")") + 2 :].split()
        pid = int(name)
        table[pid] = Entry(
            pid=pid,
            parent=int(fields[1]),
            session=int(fields[3]),
            born=float(fields[19]),
            dead=fields[0] in (b"Z", b"X"),
            cpu_seconds=(int(fields[11]) + int(fields[12])) / _TICKS,
            memory_bytes=int(fields[21]) * _PAGE,
        )
    return table


def _portable() -> Table:
    import psutil  # takes long to import, and Linux does without

    table: dict[int, Entry] = {}
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                cpu = process.cpu_times()
                table[process.pid] = Entry(
                    pid=process.pid,
                    parent=process.ppid(),
                    session=os.getsid(process.pid),
                    born=process.create_time(),
                    dead=process.status() == psutil.STATUS_ZOMBIE,
                    cpu_seconds=cpu.user + cpu.system,
                    memory_bytes=process.memory_info().rss,
                )
        except (psutil.Error, ProcessLookupError, PermissionError):
            continue  # it ended while we looked, or it is none of ours
    return table


def mentions(pid: int, mark: str) -> bool:
    """Whether a process carries ``mark`` in its environment or on its command line."""
    if sys.platform == "linux":
        needle = os.fsencode(mark)
        for name in ("environ", "cmdline"):
            try:
                if needle in (PROC / str(pid) / name).read_bytes():
                    return True
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # gone, or another user's
        return False
    import psutil

    try:
        process = psutil.Process(pid)
        return any(mark in part for part in process.cmdline()) or any(
            mark in f"{name}={value}" for name, value in process.environ().items()
        )
    except (psutil.Error, OSError):
        return False


def descendants(table: Table, roots: Iterable[int]) -> set[int]:
    """Everything below ``roots`` (which are not in it unless one is below another)."""
    children: dict[int, list[int]] = {}
    for entry in table.values():
        children.setdefault(entry.parent, []).append(entry.pid)
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def tree_of(table: Table, root: int, known: Iterable[tuple[int, float]] = ()) -> set[int]:
    """The living processes that belong to ``root``: itself, those of its session, ``known`` ones, all below."""
    members = {pid for pid, born in known if pid in table and table[pid].born == born}
    members |= {entry.pid for entry in table.values() if entry.session == root or entry.pid == root}
    members |= descendants(table, members)
    return {pid for pid in members if not table[pid].dead}


def ancestors(table: Table, pid: int) -> set[int]:
    """``pid`` and every process above it."""
    found: set[int] = set()
    while pid in table and pid not in found:
        found.add(pid)
        pid = table[pid].parent
    return found
