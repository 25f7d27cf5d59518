"""Ends processes for good: SIGKILL to a whole tree, again and again until nobody of it is left. Blocking."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from nerv.supervisor.process_table import Table, ancestors, descendants, mentions, snapshot, tree_of

PAUSE_SECONDS = 0.02


def kill_tree(
    root: int, *, mark: str, known: frozenset[tuple[int, float]] = frozenset(), seconds: float = 2.0
) -> frozenset[int]:
    """Kill process ``root``, its session, everything below, whoever carries ``mark``; returns the survivors.

    ``known`` are members seen earlier as (pid, birth): a browser's helpers leave the tree when their parent
    dies, and some leave its session (trap: supervisord 1101, puppeteer 1825).
    """
    own = os.getpid()

    def members(table: Table) -> set[int]:
        found = tree_of(table, root, known)
        # Only an orphan can have left the tree: its parent is init, or we who are its subreaper.
        marked = {
            entry.pid
            for entry in table.values()
            if entry.pid not in found
            and not entry.dead
            and entry.parent in (1, own)
            and mentions(entry.pid, mark)
        }
        return found | marked | descendants(table, marked)

    return _kill_all(members, seconds)


def kill_marked(mark: str, *, seconds: float = 3.0) -> frozenset[int]:
    """Kill whoever carries ``mark``, with everything below; returns the survivors. Of an earlier run, say."""

    def members(table: Table) -> set[int]:
        marked = {entry.pid for entry in table.values() if not entry.dead and mentions(entry.pid, mark)}
        return marked | descendants(table, marked)

    return _kill_all(members, seconds)


def kill_descendants(of: int, *, seconds: float = 2.0) -> frozenset[int]:
    """Kill everything below process ``of``; returns the survivors."""
    return _kill_all(lambda table: descendants(table, [of]), seconds)


def _kill_all(members: Callable[[Table], set[int]], seconds: float) -> frozenset[int]:
    until = time.monotonic() + seconds
    while True:
        table = snapshot()
        alive = {
            pid for pid in members(table) - ancestors(table, os.getpid()) if pid > 1 and not table[pid].dead
        }
        if not alive or time.monotonic() >= until:
            return frozenset(alive)
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue  # it went by itself, or it is not ours to kill; the next round tells
        time.sleep(PAUSE_SECONDS)
