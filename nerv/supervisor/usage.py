"""What the process trees of the actors use: processor time and memory. Blocking: runs in a thread."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nerv.supervisor.child import Usage
from nerv.supervisor.process_table import Entry, snapshot, tree_of

_PAGE = os.sysconf("SC_PAGE_SIZE")


def tree_memory(entries: Sequence[Entry]) -> int:
    """Bytes that a process tree holds: what each has for itself, and once the most that one shares.

    A plain sum of resident sizes counts the code and the buffers that a browser's processes share as often as
    there are processes: three times too much for one with a few pages. Where /proc has no statm (macOS) it is
    that sum all the same.
    """
    private = shared_most = 0
    for entry in entries:
        shared = min(_shared(entry.pid), entry.memory_bytes)
        private += entry.memory_bytes - shared
        shared_most = max(shared_most, shared)
    return private + shared_most


def _shared(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[2]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look at the machine. ``zombies``: dead children of ``parent`` that wait to be reaped."""

    usage: Mapping[int, Usage]
    zombies: frozenset[int]


@dataclass(kw_only=True)
class Sampler:
    """Keeps the last look, for differences. Used by one thread at a time."""

    parent: int
    _last: dict[tuple[int, float], float] = field(default_factory=dict)
    _last_at: float | None = None

    def sample(self, members: Mapping[int, frozenset[tuple[int, float]]]) -> Sample:
        """``members``: pid of each actor, and the members of its tree found by the last look."""
        table = snapshot()
        now = time.monotonic()
        elapsed = None if self._last_at is None else max(now - self._last_at, 0.001)
        seconds: dict[tuple[int, float], float] = {}
        usage: dict[int, Usage] = {}
        for pid, known in members.items():
            entries = [table[member] for member in tree_of(table, pid, known)]
            seconds |= {entry.key: entry.cpu_seconds for entry in entries}
            usage[pid] = Usage(
                cpu_percent=0.0 if elapsed is None else 100.0 * self._spent(entries) / elapsed,
                memory_bytes=tree_memory(entries),
                members=frozenset(entry.key for entry in entries),
            )
        self._last, self._last_at = seconds, now
        zombies = frozenset(
            entry.pid for entry in table.values() if entry.dead and entry.parent == self.parent
        )
        return Sample(usage=usage, zombies=zombies)

    def _spent(self, entries: list[Entry]) -> float:
        """Processor seconds since the last look; a process first seen now counts with all it has used."""
        if self._last_at is None:
            return 0.0
        return sum(entry.cpu_seconds - self._last.get(entry.key, 0.0) for entry in entries)
