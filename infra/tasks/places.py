"""Where a task stands for the store: the one column that its partial indexes rest on."""

from __future__ import annotations

from enum import IntEnum

from kernel.tasks import FINAL_STATES, Task, TaskState


class Place(IntEnum):
    """Numbers stand in the database and in its indexes; they never change."""

    ENDED = 0
    READY = 1
    DELAYED = 2
    DEPENDENT = 3
    """Waits until all tasks it depends on are DONE."""
    KEYED = 4
    """Waits for another task of the same concurrency key that is ready or running."""
    RUNNING = 5


HOLDERS = frozenset({Place.READY, Place.RUNNING})
"""At most one task of a concurrency key stands here."""


def place_of(task: Task, *, unmet: int, now: float) -> Place:
    """The place of a task, its concurrency key left aside (only a look at the others of that key tells)."""
    if task.state is TaskState.RUNNING:
        return Place.RUNNING
    if task.state in FINAL_STATES:
        return Place.ENDED
    if unmet:
        return Place.DEPENDENT
    return Place.DELAYED if task.not_before > now else Place.READY
