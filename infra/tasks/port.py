"""What any store of tasks promises, whatever database is behind it."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import msgspec

from kernel.messages import QueueCounts, TaskPage, TaskSettle
from kernel.tasks import LeaseToken, Stage, Task, TaskEvent, TaskId, TaskState

EXCERPT_CHARS = 200
"""How much of a prompt lists and events show."""

T = TypeVar("T")


class Changed(msgspec.Struct, Generic[T], frozen=True):
    """A committed result, and every task that changed with it (prompts cut to their excerpt)."""

    result: T
    tasks: tuple[Task, ...] = ()


class LeaseFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which ready tasks may be leased; keys are ``provider/account``.

    ``one_at_a_time``: providers of whose accounts each may have one leased task only.
    """

    without_providers: frozenset[str] = frozenset()
    without_keys: frozenset[str] = frozenset()
    only_keys: frozenset[str] | None = None
    one_at_a_time: frozenset[str] = frozenset()

    def admits(self, provider: str, account: str) -> bool:
        key = f"{provider}/{account}"
        if self.only_keys is not None and key not in self.only_keys:
            return False
        return provider not in self.without_providers and key not in self.without_keys


class TaskStore(Protocol):
    """Every method returns after its transaction is committed and synced, with its history in it.

    A refusal is raised as :class:`nerv.errors.NervError` (``stale_lease``, ``conflict``, ``not_found``); what it
    leaves in the audit is committed too. Tasks that commands return have their prompt cut to its excerpt and no
    payload; :meth:`get` and :meth:`lease` give the whole. Ids may be unique prefixes of at least 6 characters in
    :meth:`get`, :meth:`history`, :meth:`cancel` and :meth:`retry`.
    """

    async def submit(self, task: Task, *, envelope: str | None = None) -> Changed[tuple[Task, bool]]:
        """Add the task. True with it: its envelope or idempotency key was known, the old task is returned."""
        ...

    async def get(self, task_id: TaskId) -> Task: ...

    async def page(
        self, *, states: tuple[TaskState, ...], provider: str | None, limit: int, after: str | None
    ) -> TaskPage: ...

    async def history(self, task_id: TaskId) -> tuple[TaskEvent, ...]: ...

    async def counts(self, *, now: float) -> QueueCounts: ...

    async def lease(
        self, *, owner: str, limit: int, seconds: float, allowed: LeaseFilter, now: float
    ) -> Changed[tuple[Task, ...]]:
        """Lease ready tasks: larger priority first, then older first; one running per concurrency key."""
        ...

    async def renew(
        self, task_id: TaskId, token: LeaseToken, *, seconds: float, now: float
    ) -> Changed[Task]: ...

    async def stage(
        self, task_id: TaskId, token: LeaseToken, *, to: Stage, conversation: str | None, now: float
    ) -> Changed[Task]: ...

    async def settle(self, command: TaskSettle, *, now: float) -> Changed[Task]:
        """End an attempt. The same settlement once more (same token and state) changes nothing and succeeds."""
        ...

    async def release(
        self, owner: str, *, task_id: TaskId | None, loss: bool, reason: str, now: float
    ) -> Changed[tuple[TaskId, ...]]: ...

    async def cancel(self, task_id: TaskId, *, reason: str, by: str, now: float) -> Changed[Task]: ...

    async def retry(self, task_id: TaskId, *, resend: bool, by: str, now: float) -> Changed[Task]: ...

    async def sweep(self, *, now: float, limit: int = 500) -> Changed[int]:
        """What time has done: leases that ran out, deadlines that passed, delays that ended. How many tasks."""
        ...

    async def close(self) -> None: ...
