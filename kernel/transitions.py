"""What each command does to a task: the new task and the rows of its history, or a refusal.

Every rule takes the task as it is stored and the time, and touches nothing. A store applies the result with one
update on (id, state, lease token): if that row is gone by then, the caller has lost the race and is refused too.
"""

from __future__ import annotations

from typing import assert_never

import msgspec
from msgspec.structs import replace

from kernel.messages import TaskSettle
from kernel.tasks import (
    FINAL_STATES,
    LEASABLE_STATES,
    MAX_LOSSES,
    Counts,
    Lease,
    LeaseToken,
    Stage,
    Task,
    TaskError,
    TaskEvent,
    TaskId,
    TaskState,
    TroubleKind,
    may_follow,
)
from nerv.errors import ErrorCode, ErrorInfo, invalid

DEADLINE_GRACE = 60.0
"""How long past a task's deadline its worker may still renew: time to report the deadline itself, in seconds."""
MAX_LEASE_SECONDS = 3600.0
MAX_DETAIL_CHARS = 500


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A transition that is allowed. Without ``events`` it is not worth a row of history (a renewed lease)."""

    task: Task
    events: tuple[TaskEvent, ...] = ()


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A transition that is not. ``event``: the row that the audit keeps of it."""

    error: ErrorInfo
    event: TaskEvent | None = None


def lease(task: Task, *, token: LeaseToken, owner: str, seconds: float, now: float) -> Step | Refusal:
    """PENDING or RETRY → RUNNING under a new token, where the task is due and its deadline is not past."""
    if task.state not in LEASABLE_STATES:
        return Refusal(error=_conflict(task, "leased"))
    if task.not_before > now:
        return Refusal(error=invalid(f"it is not due for {task.not_before - now:.1f} s", field="id"))
    if task.deadline <= now:
        return Refusal(error=ErrorInfo(code=ErrorCode.DEADLINE, reason="its deadline is past", field="id"))
    after = replace(
        task,
        state=TaskState.RUNNING,
        attempt=task.attempt + 1,
        not_before=0.0,
        lease=Lease(token=token, owner=owner, until=now + seconds),
        updated_at=now,
    )
    return Step(task=after, events=(_moved(task, after, by=owner),))


def renew(task: Task, *, token: LeaseToken, seconds: float, now: float) -> Step | Refusal:
    """A longer lease. It never gets shorter, and cannot outlive the deadline by more than the grace."""
    held = _held(task, token, "renew", now)
    if isinstance(held, Refusal):
        return held
    until = max(held.until, min(now + seconds, task.deadline + DEADLINE_GRACE))
    return Step(task=replace(task, lease=replace(held, until=until), updated_at=now))


def stage(
    task: Task, *, token: LeaseToken, to: Stage, conversation: str | None = None, now: float
) -> Step | Refusal:
    """Record how far the prompt has come. Once it may have been sent, only forward (promise P3)."""
    held = _held(task, token, "stage", now)
    if isinstance(held, Refusal):
        return held
    if to.rank < task.stage.rank and task.stage.rank >= Stage.SUBMITTED.rank:
        return Refusal(
            error=ErrorInfo(
                code=ErrorCode.CONFLICT,
                reason=f"the prompt is {task.stage} already and cannot become {to}",
                field="stage",
                fix="harvest the reply; where it is proved that nobody took the prompt, settle with stage none",
            ),
            event=_event(task, f"refused:{task.stage}→{to}", by=held.owner, now=now),
        )
    after = replace(
        task,
        stage=to,
        conversation=conversation if conversation is not None else task.conversation,
        updated_at=now,
    )
    if to is task.stage:
        return Step(task=after)
    event = _event(task, f"{task.stage}→{to}", by=held.owner, now=now, detail=conversation or "")
    return Step(task=after, events=(event,))


def settle(task: Task, command: TaskSettle, *, now: float) -> Step | Refusal:
    """End an attempt: DONE with its reply, or by way of FAILED to RETRY or DEAD with its error."""
    held = _held(task, command.token, "settle", now)
    if isinstance(held, Refusal):
        return held
    problem = _check_settle(task, command)
    if problem is not None:
        return Refusal(error=problem)
    kept = task.stage if command.stage is None else command.stage
    match command.state:
        case TaskState.DONE:
            done = replace(
                _ended(task, now), state=TaskState.DONE, reply=command.reply, error=None, finished_at=now
            )
            return Step(task=done, events=(_moved(task, done, by=held.owner),))
        case TaskState.RETRY if command.counts is Counts.LOSS:
            return _lost(task, command.error, not_before=command.not_before, now=now)
        case TaskState.RETRY | TaskState.DEAD:
            failed = replace(
                _ended(task, now),
                state=TaskState.FAILED,
                failures=task.failures + (command.counts is Counts.FAILURE),
                losses=task.losses + (command.counts is Counts.LOSS),
                error=command.error,
                stage=kept,
            )
            after = replace(
                failed,
                state=command.state,
                not_before=command.not_before if command.state is TaskState.RETRY else 0.0,
                finished_at=now if command.state is TaskState.DEAD else None,
            )
            return Step(
                task=after,
                events=(
                    _moved(task, failed, by=held.owner, detail=_why(command.error)),
                    _moved(failed, after, by="kernel", detail=_when(command, now)),
                ),
            )
        case TaskState.PENDING | TaskState.RUNNING | TaskState.FAILED | TaskState.CANCELLED:
            raise AssertionError("checked above")
        case _:
            assert_never(command.state)


def release(task: Task, *, owner: str, loss: bool, reason: str, now: float) -> Step | Refusal:
    """Take a lease away from ``owner``: its worker is dead (``loss``), or never began (nothing is counted)."""
    if task.state is not TaskState.RUNNING or task.lease is None or task.lease.owner != owner:
        return Refusal(error=_stale(task))
    if loss:
        error = TaskError(kind=TroubleKind.WORKER_LOST, reason=reason or f"{owner} is gone", stage=task.stage)
        return _lost(task, error, not_before=0.0, now=now)
    after = replace(_ended(task, now), state=TaskState.RETRY, not_before=0.0)
    return Step(task=after, events=(_moved(task, after, by=owner, detail=reason or "released"),))


def expire(task: Task, *, now: float) -> Step | Refusal:
    """What time does: a lease that ran out is a lost worker; a deadline that passed while waiting is death."""
    if task.state is TaskState.RUNNING:
        if task.lease is None or task.lease.until > now:
            return Refusal(error=_conflict(task, "expired"))
        error = TaskError(
            kind=TroubleKind.WORKER_LOST, reason=f"the lease of {task.lease.owner} ran out", stage=task.stage
        )
        return _lost(task, error, not_before=0.0, now=now)
    if task.state not in LEASABLE_STATES or task.deadline > now:
        return Refusal(error=_conflict(task, "expired"))
    last = f"; before that: {task.error.kind}: {task.error.reason}" if task.error else ""
    error = TaskError(
        kind=TroubleKind.DEADLINE, reason=f"its deadline passed while it waited{last}", stage=task.stage
    )
    return _dead(task, error, by="queue", now=now)


def abandon(task: Task, *, dependency: TaskId, state: TaskState, now: float) -> Step | Refusal:
    """A task that waits for another that ended DEAD or CANCELLED can never run."""
    if task.state not in LEASABLE_STATES:
        return Refusal(error=_conflict(task, "abandoned"))
    error = TaskError(
        kind=TroubleKind.INTERNAL,
        reason=f"it depends on task {dependency}, which is {state}",
        stage=task.stage,
    )
    return _dead(task, error, by="queue", now=now)


def cancel(task: Task, *, reason: str, by: str, now: float) -> Step | Refusal:
    """Anything that is not final → CANCELLED. The token of a running attempt is void from here on."""
    if task.state is TaskState.CANCELLED:
        return Step(task=task)
    if task.state in FINAL_STATES:
        return Refusal(error=_conflict(task, "cancelled"))
    after = replace(_ended(task, now), state=TaskState.CANCELLED, not_before=0.0, finished_at=now)
    return Step(task=after, events=(_moved(task, after, by=by, detail=reason),))


def retry(task: Task, *, resend: bool, by: str, now: float) -> Step | Refusal:
    """DEAD or CANCELLED → RETRY with counts at zero and as much time as it had at first; RETRY → due now.

    The stage is kept, so that a prompt which the page may have is harvested and not sent twice, unless the
    operator says ``resend``.
    """
    if task.state not in (TaskState.DEAD, TaskState.CANCELLED, TaskState.RETRY):
        return Refusal(error=_conflict(task, "run again"))
    # One that waits in RETRY has lost nothing of its time: only a task that ended starts its clock again.
    again = task.state is not TaskState.RETRY
    kept = Stage.NONE if resend else task.stage
    after = replace(
        task,
        state=TaskState.RETRY,
        failures=0 if again else task.failures,
        losses=0 if again else task.losses,
        not_before=0.0,
        deadline=now + task.timeout if again else task.deadline,
        stage=kept,
        conversation=None if resend else task.conversation,
        error=task.error,
        finished_at=None,
        updated_at=now,
    )
    detail = "due now" if not again else "by hand"
    events = [_event(task, f"{task.state}→{TaskState.RETRY}", by=by, now=now, detail=detail)]
    if kept is not task.stage:
        events.append(_event(task, f"{task.stage}→{kept}", by=by, now=now, detail="resend"))
    return Step(task=after, events=tuple(events))


def created(task: Task) -> TaskEvent:
    """The first row of a task's history."""
    return _event(task, f"→{task.state}", by=task.created_by, now=task.created_at)


def _lost(task: Task, error: TaskError | None, *, not_before: float, now: float) -> Step:
    """RUNNING → RETRY with one more loss; by the poison rule DEAD (by way of FAILED)."""
    owner = task.lease.owner if task.lease else ""
    losses = task.losses + 1
    base = replace(_ended(task, now), losses=losses, error=error)
    if losses < MAX_LOSSES:
        after = replace(base, state=TaskState.RETRY, not_before=not_before)
        return Step(task=after, events=(_moved(task, after, by=owner, detail=_why(error)),))
    failed = replace(base, state=TaskState.FAILED)
    poison = TaskError(
        kind=TroubleKind.WORKER_LOST,
        reason=f"{losses} workers died over it, the last: {error.reason if error else 'no reason given'}",
        stage=task.stage,
        forensics=error.forensics if error else None,
    )
    dead = replace(failed, state=TaskState.DEAD, error=poison, finished_at=now)
    return Step(
        task=dead,
        events=(
            _moved(task, failed, by=owner, detail=_why(error)),
            _moved(failed, dead, by="queue", detail=_why(poison)),
        ),
    )


def _dead(task: Task, error: TaskError, *, by: str, now: float) -> Step:
    after = replace(_ended(task, now), state=TaskState.DEAD, error=error, not_before=0.0, finished_at=now)
    return Step(task=after, events=(_moved(task, after, by=by, detail=_why(error)),))


def _ended(task: Task, now: float) -> Task:
    return replace(task, lease=None, updated_at=now)


def _held(task: Task, token: LeaseToken, what: str, now: float) -> Lease | Refusal:
    """The lease, if ``token`` is the current one. It is good until the queue takes it away, even past its time:
    only then may another worker have the task."""
    if task.state is TaskState.RUNNING and task.lease is not None and task.lease.token == token:
        return task.lease
    event = _event(task, f"stale:{what}", by="", now=now, detail=f"token {token}, task is {task.state}")
    return Refusal(error=_stale(task), event=event)


def _check_settle(task: Task, command: TaskSettle) -> ErrorInfo | None:
    match command.state:
        case TaskState.DONE if command.reply is None:
            return invalid("DONE needs a sealed reply", field="reply")
        case TaskState.RETRY | TaskState.DEAD if command.error is None:
            return invalid(f"{command.state} needs an error", field="error")
        case TaskState.DONE | TaskState.RETRY | TaskState.DEAD:
            return None
        case _:
            return invalid(
                f"an attempt cannot end as {command.state}", field="state", fix="use DONE, RETRY or DEAD"
            )


def _moved(before: Task, after: Task, *, by: str, detail: str = "") -> TaskEvent:
    if not may_follow(before.state, after.state):
        raise AssertionError(f"{before.state} → {after.state}")
    return _event(after, f"{before.state}→{after.state}", by=by, now=after.updated_at, detail=detail)


def _event(task: Task, change: str, *, by: str, now: float, detail: str = "") -> TaskEvent:
    return TaskEvent(
        task_id=task.id, at=now, attempt=task.attempt, change=change, by=by, detail=detail[:MAX_DETAIL_CHARS]
    )


def _why(error: TaskError | None) -> str:
    return f"{error.kind}: {error.reason}" if error else ""


def _when(command: TaskSettle, now: float) -> str:
    if command.state is TaskState.DEAD:
        return ""
    return f"again in {max(0.0, command.not_before - now):.1f} s"


def _stale(task: Task) -> ErrorInfo:
    return ErrorInfo(
        code=ErrorCode.STALE_LEASE,
        reason=f"the token is not the current one of task {task.id}, which is {task.state}",
        field="token",
        fix="drop the work: somebody else has the task, or it has ended",
    )


def _conflict(task: Task, what: str) -> ErrorInfo:
    return ErrorInfo(
        code=ErrorCode.CONFLICT,
        reason=f"task {task.id} is {task.state} and cannot be {what}",
        field="id",
        fix=f"`nerv task show {task.id}` shows its history",
    )
