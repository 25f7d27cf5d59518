"""What follows a failed attempt: whose fault it was, whether to try again, and when."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from kernel.messages import TaskSettle
from kernel.tasks import MAX_LOSSES, Counts, LeaseToken, Stage, Task, TaskError, TaskState, TroubleKind


class FailureClass(StrEnum):
    """Who is to blame. It decides what is counted: failures of the task, a breaker, or a lost worker."""

    TASK = "task"
    PROVIDER = "provider"
    INFRASTRUCTURE = "infrastructure"


class FailureRule(msgspec.Struct, frozen=True, kw_only=True):
    """How one kind of trouble is met. ``base`` and ``cap`` of the back-off in seconds.

    ``blocks``: it will not pass by itself or by trying (a login wall), so the breaker opens at once.
    """

    blame: FailureClass
    retryable: bool = True
    base: float = 2.0
    cap: float = 120.0
    blocks: bool = False
    counts: Counts = Counts.FAILURE


_PROVIDER: Final = FailureRule(blame=FailureClass.PROVIDER)
_BLOCKED: Final = FailureRule(blame=FailureClass.PROVIDER, base=60.0, cap=900.0, blocks=True)
_BROWSER: Final = FailureRule(blame=FailureClass.INFRASTRUCTURE, base=0.5, cap=10.0, counts=Counts.LOSS)
_FINAL: Final = FailureRule(blame=FailureClass.TASK, retryable=False)

RULES: Final[dict[TroubleKind, FailureRule]] = {
    TroubleKind.INPUT_NOT_FOUND: _PROVIDER,
    TroubleKind.COMPOSE_MISMATCH: _PROVIDER,
    TroubleKind.SUBMIT_REFUSED: _PROVIDER,
    TroubleKind.NO_REPLY: _PROVIDER,
    TroubleKind.EMPTY_REPLY: _PROVIDER,
    TroubleKind.CUT_OFF: _PROVIDER,
    TroubleKind.ERROR_DIALOG: _PROVIDER,
    TroubleKind.UNREACHABLE: FailureRule(blame=FailureClass.PROVIDER, base=5.0, cap=300.0),
    TroubleKind.RATE_LIMIT: _BLOCKED,
    TroubleKind.LOGIN_WALL: _BLOCKED,
    TroubleKind.CHALLENGE: _BLOCKED,
    TroubleKind.PAGE_FROZEN: _BROWSER,
    TroubleKind.PAGE_CRASHED: _BROWSER,
    TroubleKind.BROWSER_DEAD: _BROWSER,
    TroubleKind.WORKER_LOST: _BROWSER,
    TroubleKind.UNHARVESTABLE: _FINAL,
    TroubleKind.DEADLINE: _FINAL,
    TroubleKind.INTERNAL: FailureRule(blame=FailureClass.INFRASTRUCTURE),
}

MAX_RETRY_AFTER = 24 * 3600.0
"""The longest pause that a page may ask for, in seconds."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """How to settle a failed attempt. ``state`` is RETRY or DEAD; ``stage`` None keeps the recorded one."""

    rule: FailureRule
    counts: Counts
    state: TaskState
    error: TaskError
    not_before: float = 0.0
    stage: Stage | None = None

    def settle(self, task: Task, token: LeaseToken) -> TaskSettle:
        return TaskSettle(
            id=task.id,
            token=token,
            state=self.state,
            error=self.error,
            not_before=self.not_before,
            counts=self.counts,
            stage=self.stage,
        )


def decide(task: Task, error: TaskError, *, now: float, jitter: float) -> Decision:
    """RETRY after a back-off, or DEAD with the reason why not.

    ``task`` is as it runs, before this failure is counted. ``jitter`` is a random number in [0, 1): the delay is
    anywhere between nothing and the exponential bound, so that tasks which failed together do not come back
    together (full jitter).
    """
    rule = RULES[error.kind]
    counts = _counted(rule, error)
    if not rule.retryable:
        return _dead(rule, counts, error, _explain(error))
    if counts is Counts.FAILURE and task.failures + 1 >= task.max_attempts:
        reason = f"attempt {task.failures + 1} of {task.max_attempts} failed: {error.reason}"
        return _dead(rule, counts, error, reason)
    if counts is Counts.LOSS and task.losses + 1 >= MAX_LOSSES:
        reason = f"{task.losses + 1} workers were lost over it, the last: {error.reason}"
        return _dead(rule, counts, error, reason)
    before = task.losses if counts is Counts.LOSS else task.failures
    due = now + delay(rule, failures=before, error=error, jitter=jitter)
    if due >= task.deadline:
        return _dead(
            rule,
            counts,
            replace(error, kind=TroubleKind.DEADLINE),
            f"no time is left to try again before its deadline; the last attempt: {error.kind}: {error.reason}",
        )
    return Decision(
        rule=rule,
        counts=counts,
        state=TaskState.RETRY,
        error=error,
        not_before=due,
        stage=_stage_after(task, error),
    )


def delay(rule: FailureRule, *, failures: int, error: TaskError, jitter: float) -> float:
    """Seconds to wait. A pause that the page named is a lower bound, with up to a tenth on top."""
    bound = min(rule.cap, rule.base * 2.0 ** min(failures, 30))
    if error.retry_after is None:
        return bound * jitter
    asked = min(max(error.retry_after, 0.0), MAX_RETRY_AFTER)
    return asked * (1.0 + 0.1 * jitter) + (0.0 if asked else bound * jitter)


def _stage_after(task: Task, error: TaskError) -> Stage | None:
    """Forget the stage only where it is proved that the prompt was not taken, also where the page showed it as a
    turn of the user already: many draw it before the server answers."""
    if task.stage.rank < Stage.SUBMITTED.rank or error.refused:
        return Stage.NONE
    return None


def _counted(rule: FailureRule, error: TaskError) -> Counts:
    """A block that was there before the prompt, or a rate limit, is nobody's attempt. A prompt that alone is refused
    (403) is: it would block its account for others again and again."""
    met_before = error.stage.rank < Stage.SUBMITTED.rank and not error.refused
    if rule.blocks and (met_before or error.kind is TroubleKind.RATE_LIMIT):
        return Counts.NOTHING
    return rule.counts


def _dead(rule: FailureRule, counts: Counts, error: TaskError, reason: str) -> Decision:
    return Decision(rule=rule, counts=counts, state=TaskState.DEAD, error=replace(error, reason=reason))


def _explain(error: TaskError) -> str:
    if error.kind is TroubleKind.UNHARVESTABLE:
        return (
            f"{error.reason} (the page took the prompt in an earlier attempt and its reply cannot be found "
            "again; it was not sent twice: `nerv task retry --resend` sends it once more)"
        )
    return error.reason
