"""The store of tasks: the port, and what stands behind it. Transitions are decided in `kernel.transitions`."""

from infra.tasks.port import EXCERPT_CHARS, Changed, LeaseFilter, TaskStore
from infra.tasks.sqlite import SqliteTaskStore

__all__ = ("EXCERPT_CHARS", "Changed", "LeaseFilter", "SqliteTaskStore", "TaskStore")
