"""Tasks and submissions for tests of rules."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from kernel.messages import TaskSubmit
from kernel.tasks import Lease, LeaseToken, Task, TaskId, TaskKind, TaskState

NOW = 1_000.0


def a_task(**fields: Any) -> Task:
    base = Task(
        id=TaskId("t" * 16),
        kind=TaskKind.CHAT,
        provider="zai",
        prompt="x",
        state=TaskState.PENDING,
        deadline=NOW + 900.0,
        created_at=NOW,
        updated_at=NOW,
        created_by="test",
    )
    return replace(base, **fields)


def running(token: str = "tok", **fields: Any) -> Task:
    lease = Lease(token=LeaseToken(token), owner="driver-1@a", until=NOW + 30.0)
    return a_task(**{"state": TaskState.RUNNING, "attempt": 1, "lease": lease, **fields})


def a_submit(**fields: Any) -> TaskSubmit:
    return replace(TaskSubmit(provider="zai", prompt="x"), **fields)
