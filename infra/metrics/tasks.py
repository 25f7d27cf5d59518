"""What is counted of tasks, from their changes."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from kernel.tasks import FINAL_STATES, Task, TaskState

SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1280.0)
MAX_RUNNING = 10_000


class TaskMetrics:
    """Counters and latencies. A task that is seen twice in the same state and attempt counts once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seen: dict[str, tuple[TaskState, int, float]] = {}
        self._submitted = Counter("nerv_tasks_submitted", "Tasks accepted", ["provider"], registry=registry)
        self._attempts = Counter("nerv_attempts", "Leases given", ["provider"], registry=registry)
        self._failures = Counter(
            "nerv_attempt_failures",
            "Attempts that failed, by what went wrong",
            ["provider", "trouble"],
            registry=registry,
        )
        self._ended = Counter(
            "nerv_tasks_ended", "Tasks that ended, by outcome", ["provider", "outcome"], registry=registry
        )
        self._attempt_seconds = Histogram(
            "nerv_attempt_seconds",
            "From the lease to the sealed reply",
            ["provider"],
            registry=registry,
            buckets=SECONDS,
        )
        self._reply_seconds = Histogram(
            "nerv_reply_seconds",
            "From the submission to the sealed reply",
            ["provider"],
            registry=registry,
            buckets=SECONDS,
        )

    def changed(self, task: Task) -> None:
        before = self._seen.get(task.id)
        if before is not None and before[:2] == (task.state, task.attempt):
            return
        leased_at = before[2] if before is not None and before[1] == task.attempt else task.updated_at
        self._remember(task, leased_at)
        match task.state:
            case TaskState.PENDING:
                self._submitted.labels(task.provider).inc()
            case TaskState.RUNNING:
                self._attempts.labels(task.provider).inc()
            case TaskState.DONE:
                self._reply_seconds.labels(task.provider).observe(task.updated_at - task.created_at)
                if before is not None and before[1] == task.attempt:
                    self._attempt_seconds.labels(task.provider).observe(task.updated_at - leased_at)
            case _:
                pass
        failed = task.state in (TaskState.RETRY, TaskState.DEAD) and task.error is not None
        if failed and task.error is not None and before is not None and before[0] is TaskState.RUNNING:
            self._failures.labels(task.provider, task.error.kind.value).inc()
        if task.state in FINAL_STATES:
            self._ended.labels(task.provider, task.state.value).inc()

    def _remember(self, task: Task, leased_at: float) -> None:
        self._seen.pop(task.id, None)
        self._seen[task.id] = (task.state, task.attempt, leased_at)
        if len(self._seen) > MAX_RUNNING:
            del self._seen[next(iter(self._seen))]
