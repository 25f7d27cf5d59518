"""What a task is: its shape, its states, and which may follow which."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NewType

import msgspec

TaskId = NewType("TaskId", str)
LeaseToken = NewType("LeaseToken", str)

DEFAULT_ACCOUNT = "default"
DEFAULT_MAX_ATTEMPTS = 3
MAX_LOSSES = 3
"""How many workers a task may lose (killed, crashed) before it is taken for the cause: the poison rule."""
MAX_PROMPT_CHARS = 1_000_000
DEFAULT_TASK_SECONDS = 900.0
"""A task without a deadline of its own ends this long after its submission."""


class TaskKind(StrEnum):
    CHAT = "chat"


class TaskState(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    RETRY = "RETRY"
    DEAD = "DEAD"
    CANCELLED = "CANCELLED"


FINAL_STATES = frozenset({TaskState.DONE, TaskState.DEAD, TaskState.CANCELLED})
LEASABLE_STATES = frozenset({TaskState.PENDING, TaskState.RETRY})

NEXT_STATES: dict[TaskState, frozenset[TaskState]] = {
    TaskState.PENDING: frozenset({TaskState.RUNNING, TaskState.CANCELLED, TaskState.DEAD}),
    TaskState.RUNNING: frozenset({TaskState.DONE, TaskState.FAILED, TaskState.RETRY, TaskState.CANCELLED}),
    TaskState.FAILED: frozenset({TaskState.RETRY, TaskState.DEAD}),
    TaskState.RETRY: frozenset({TaskState.RUNNING, TaskState.CANCELLED, TaskState.DEAD}),
    TaskState.DONE: frozenset(),
    TaskState.DEAD: frozenset({TaskState.RETRY}),  # only by an operator: `nerv task retry`
    TaskState.CANCELLED: frozenset({TaskState.RETRY}),  # the same
}


class Stage(StrEnum):
    """How far the prompt has come at the page. Durable before the step that follows (promise P3)."""

    NONE = "none"
    PREPARED = "prepared"
    TYPED = "typed"
    SUBMITTED = "submitted"
    """About to be sent, or sent: whether the page took it is not known yet."""
    ACCEPTED = "accepted"
    """The page shows the prompt as a turn of the user, or has begun to answer."""

    @property
    def rank(self) -> int:
        return list(Stage).index(self)


class TroubleKind(StrEnum):
    """What went wrong on a page, told apart by structure, never by words of the answer."""

    INPUT_NOT_FOUND = "input_not_found"
    COMPOSE_MISMATCH = "compose_mismatch"
    SUBMIT_REFUSED = "submit_refused"
    NO_REPLY = "no_reply"
    EMPTY_REPLY = "empty_reply"
    CUT_OFF = "cut_off"
    ERROR_DIALOG = "error_dialog"
    LOGIN_WALL = "login_wall"
    RATE_LIMIT = "rate_limit"
    CHALLENGE = "challenge"
    PAGE_FROZEN = "page_frozen"
    PAGE_CRASHED = "page_crashed"
    BROWSER_DEAD = "browser_dead"
    UNREACHABLE = "unreachable"
    UNHARVESTABLE = "unharvestable"
    """The page took the prompt in an earlier attempt, and its reply cannot be found again."""
    DEADLINE = "deadline"
    WORKER_LOST = "worker_lost"
    INTERNAL = "internal"


class TaskError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why an attempt failed. ``retry_after`` in seconds, where the page named one.

    ``refused``: it is proved that the prompt was not taken, so it may be sent again: the page kept it in its input
    and nothing went out, or every request that carried it was answered with a refusal.
    """

    kind: TroubleKind
    reason: str
    stage: Stage = Stage.NONE
    retry_after: float | None = None
    refused: bool = False
    forensics: str | None = None


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to work on a task: whoever shows ``token`` before ``until`` (seconds since the epoch)."""

    token: LeaseToken
    owner: str
    until: float


class ReplySource(StrEnum):
    """The evidence that a final text rests on, best first (DESIGN: the ladder of final texts)."""

    WIRE = "wire"
    COPY = "copy"
    DOM = "dom"


class Finish(StrEnum):
    """How a reply ended."""

    COMPLETE = "complete"
    CUT_OFF = "cut_off"
    UNPROVEN = "unproven"
    """The text stopped changing, but no sign of completion was seen."""


class Counts(StrEnum):
    """What a failed attempt counts as against its task."""

    FAILURE = "failure"
    """One of its ``max_attempts``."""
    LOSS = "loss"
    """The worker died over it: one of ``MAX_LOSSES``."""
    NOTHING = "nothing"
    """The provider let nobody through: the task waits for that to pass, until its deadline."""


class ReplySummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a task remembers of its sealed reply; the text is in the store. ``length`` in characters."""

    attempt: int
    source: ReplySource
    finish: Finish
    length: int
    sha256: str


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One unit of durable work. Times are seconds since the epoch."""

    id: TaskId
    kind: TaskKind
    provider: str
    account: str = DEFAULT_ACCOUNT
    prompt: str
    payload: dict[str, Any] = {}
    priority: int = 0
    state: TaskState
    stage: Stage = Stage.NONE
    attempt: int = 0
    """How many times it was leased."""
    failures: int = 0
    """Attempts that ended in a failure of the task or its provider; these count against ``max_attempts``."""
    losses: int = 0
    """Attempts whose worker died; these count against ``MAX_LOSSES``."""
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    not_before: float = 0.0
    timeout: float = DEFAULT_TASK_SECONDS
    """Seconds from the submission (or from a retry by hand) to the deadline."""
    deadline: float
    lease: Lease | None = None
    idempotency_key: str | None = None
    concurrency_key: str | None = None
    conversation: str | None = None
    """Address of the thread at the provider, as soon as the page shows one: where a reply is harvested."""
    depends_on: tuple[TaskId, ...] = ()
    batch: str | None = None
    error: TaskError | None = None
    reply: ReplySummary | None = None
    correlation: str = ""
    created_by: str = ""
    created_at: float
    updated_at: float
    finished_at: float | None = None


class TaskEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a task's append-only history."""

    task_id: TaskId
    at: float
    attempt: int
    change: str
    """``PENDING→RUNNING`` (states), ``typed→submitted`` (stages), ``stale:stage`` (refusals)."""
    by: str
    detail: str = ""


def may_follow(before: TaskState, after: TaskState) -> bool:
    return after in NEXT_STATES[before]
