"""The vocabulary of work: every message that concerns tasks, replies, providers and drivers."""

from __future__ import annotations

from typing import Any

import msgspec

from kernel.tasks import (
    DEFAULT_ACCOUNT,
    DEFAULT_MAX_ATTEMPTS,
    Counts,
    Finish,
    LeaseToken,
    ReplySource,
    ReplySummary,
    Stage,
    Task,
    TaskError,
    TaskEvent,
    TaskId,
    TaskKind,
    TaskState,
)
from nerv.bus.vocabulary import VOCABULARY, Command, Message, Role
from nerv.messages import Ok

QUEUE = "queue"
KERNEL = "kernel"
STORE = "store"

# -- tasks: what users ask of the queue -------------------------------------------------------------------


@VOCABULARY.reply("task.accepted")
class TaskAccepted(Message, frozen=True, kw_only=True):
    """The task is committed and fsynced. ``duplicate``: its idempotency key is known, ``id`` is the old one."""

    id: TaskId
    state: TaskState
    duplicate: bool = False


@VOCABULARY.command("task.submit", target=QUEUE, role=Role.SUBMITTER)
class TaskSubmit(Command[TaskAccepted], frozen=True, kw_only=True):
    """Submit a task. ``timeout`` and ``delay`` are in seconds from now."""

    provider: str
    prompt: str
    kind: TaskKind = TaskKind.CHAT
    account: str = DEFAULT_ACCOUNT
    priority: int = 0
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    timeout: float | None = None
    delay: float = 0.0
    idempotency_key: str | None = None
    concurrency_key: str | None = None
    depends_on: tuple[TaskId, ...] = ()
    batch: str | None = None
    payload: dict[str, Any] = {}


@VOCABULARY.reply("task.view")
class TaskView(Message, frozen=True, kw_only=True):
    """One task as it is now. Only `task.get` answers with the whole prompt; others cut it to 200 characters."""

    task: Task


@VOCABULARY.command("task.get", target=QUEUE, role=Role.VIEWER)
class TaskGet(Command[TaskView], frozen=True, kw_only=True):
    """Ask for one task by id (or a prefix of at least 6 characters that is unique)."""

    id: TaskId


@VOCABULARY.reply("task.page")
class TaskPage(Message, frozen=True, kw_only=True):
    """Some tasks, newest first, and where to go on."""

    tasks: tuple[Task, ...]
    next: str | None = None


@VOCABULARY.command("task.list", target=QUEUE, role=Role.VIEWER)
class TaskList(Command[TaskPage], frozen=True, kw_only=True):
    """List tasks, newest first. ``after`` is the ``next`` of the page before. ``limit`` is at most 1000.

    Prompts are cut to their first 200 characters and payloads left out: `task.get` has the whole.
    """

    states: tuple[TaskState, ...] = ()
    provider: str | None = None
    limit: int = 50
    after: str | None = None


@VOCABULARY.reply("task.events")
class TaskEvents(Message, frozen=True, kw_only=True):
    """The append-only history of one task, oldest first."""

    events: tuple[TaskEvent, ...]


@VOCABULARY.command("task.history", target=QUEUE, role=Role.VIEWER)
class TaskHistory(Command[TaskEvents], frozen=True, kw_only=True):
    """Ask for the history of one task."""

    id: TaskId


@VOCABULARY.command("task.cancel", target=QUEUE, role=Role.SUBMITTER)
class TaskCancel(Command[TaskView], frozen=True, kw_only=True):
    """Cancel a task that is not final yet; a running one is stopped at its page."""

    id: TaskId
    reason: str = ""


@VOCABULARY.command("task.retry", target=QUEUE, role=Role.SUBMITTER)
class TaskRetry(Command[TaskView], frozen=True, kw_only=True):
    """Run a DEAD or CANCELLED task again, or a RETRY task now. Its stage is kept; failures start at 0.

    ``resend``: forget the stage too, so that a prompt the page may have accepted is sent once more.
    """

    id: TaskId
    resend: bool = False


# -- tasks: what the kernel and the drivers ask of the queue ----------------------------------------------


@VOCABULARY.reply("task.leases")
class TaskLeases(Message, frozen=True, kw_only=True):
    """The tasks that were leased; each carries its lease."""

    tasks: tuple[Task, ...]


@VOCABULARY.command("task.lease", target=QUEUE, role=Role.ADMIN)
class TaskLease(Command[TaskLeases], frozen=True, kw_only=True):
    """Lease up to ``limit`` ready tasks for ``owner`` (``driver-1@<incarnation>``) for ``seconds``.

    ``without_keys`` and ``only_keys`` are ``provider/account``, as breakers know them.
    """

    owner: str
    limit: int
    seconds: float
    without_providers: tuple[str, ...] = ()
    without_keys: tuple[str, ...] = ()
    only_keys: tuple[str, ...] | None = None


@VOCABULARY.reply("task.leased")
class LeaseUntil(Message, frozen=True, kw_only=True):
    """The lease holds until this time (seconds since the epoch)."""

    until: float


@VOCABULARY.command("task.renew", target=QUEUE, role=Role.ADMIN)
class TaskRenew(Command[LeaseUntil], frozen=True, kw_only=True):
    """Renew a lease. Refused with ``stale_lease`` when the token is not the current one."""

    id: TaskId
    token: LeaseToken
    seconds: float


@VOCABULARY.command("task.stage", target=QUEUE, role=Role.ADMIN)
class TaskStage(Command[Ok], frozen=True, kw_only=True):
    """Record durably how far the prompt has come, before the next step. Checked against the lease token."""

    id: TaskId
    token: LeaseToken
    stage: Stage
    conversation: str | None = None


@VOCABULARY.command("task.settle", target=QUEUE, role=Role.ADMIN)
class TaskSettle(Command[TaskView], frozen=True, kw_only=True):
    """End an attempt as DONE (with ``reply``), RETRY (with ``not_before``) or DEAD (with ``error``).

    ``counts``: what this attempt counts as, for RETRY and DEAD. ``stage``: None keeps the recorded one; NONE
    forgets it (the page is proved not to have the prompt).
    """

    id: TaskId
    token: LeaseToken
    state: TaskState
    reply: ReplySummary | None = None
    error: TaskError | None = None
    not_before: float = 0.0
    counts: Counts = Counts.FAILURE
    stage: Stage | None = None


@VOCABULARY.reply("task.released")
class TasksReleased(Message, frozen=True, kw_only=True):
    """The tasks that went back to RETRY or, by the poison rule, to DEAD."""

    ids: tuple[TaskId, ...]


@VOCABULARY.command("task.release", target=QUEUE, role=Role.ADMIN)
class TaskRelease(Command[TasksReleased], frozen=True, kw_only=True):
    """Give back at once every lease of ``owner`` (a worker that is known to be dead), or of one task.

    ``loss`` False: the work never began; nothing is counted against the task.
    """

    owner: str
    id: TaskId | None = None
    loss: bool = True
    reason: str = ""


@VOCABULARY.reply("queue.counts")
class QueueCounts(Message, frozen=True, kw_only=True):
    """How many tasks are in each state, and how long the oldest ready one has waited (seconds)."""

    states: dict[str, int]
    oldest_wait: float = 0.0


@VOCABULARY.command("queue.stats", target=QUEUE, role=Role.VIEWER)
class QueueStats(Command[QueueCounts], frozen=True, kw_only=True):
    """Ask for counts by state."""


@VOCABULARY.event("task.changed")
class TaskChanged(Message, frozen=True, kw_only=True):
    """A task changed. Topic ``task.<id>``. The prompt is cut to its first 200 characters."""

    task: Task


# -- replies ----------------------------------------------------------------------------------------------


class Delta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of a reply. ``seq`` counts from 1 within one attempt; ``offset`` is in characters.

    Without ``rewrite`` the text is appended at ``offset`` (the length so far). With it, everything from
    ``offset`` on is replaced. Applying all deltas in order of ``seq`` gives the reply.
    """

    seq: int
    offset: int
    text: str
    rewrite: bool = False


@VOCABULARY.command("reply.append", target=STORE, role=Role.ADMIN)
class ReplyAppend(Command[Ok], frozen=True, kw_only=True):
    """Store deltas of a running attempt durably, then publish them. A known seq has no effect."""

    task: TaskId
    attempt: int
    deltas: tuple[Delta, ...]


@VOCABULARY.reply("reply.sealed")
class ReplySealed(Message, frozen=True, kw_only=True):
    """The summary of the sealed reply (of this attempt, or of the one that sealed first)."""

    reply: ReplySummary


@VOCABULARY.command("reply.seal", target=STORE, role=Role.ADMIN)
class ReplySeal(Command[ReplySealed], frozen=True, kw_only=True):
    """Seal a reply whole; idempotent by (task, attempt). A second attempt finds the first seal."""

    task: TaskId
    attempt: int
    text: str
    source: ReplySource
    finish: Finish
    conversation: str | None = None
    signs: tuple[str, ...] = ()


@VOCABULARY.reply("reply.view")
class ReplyView(Message, frozen=True, kw_only=True):
    """A reply: its deltas from ``after`` on, and its summary and text once it is sealed."""

    task: TaskId
    attempt: int = 0
    deltas: tuple[Delta, ...] = ()
    length: int = 0
    sealed: ReplySummary | None = None
    text: str | None = None
    signs: tuple[str, ...] = ()


@VOCABULARY.command("reply.read", target=STORE, role=Role.VIEWER)
class ReplyRead(Command[ReplyView], frozen=True, kw_only=True):
    """Read a reply. ``attempt`` 0: the newest. ``after``: only deltas with a larger seq."""

    task: TaskId
    attempt: int = 0
    after: int = 0


@VOCABULARY.event("reply.delta")
class ReplyDelta(Message, frozen=True, kw_only=True):
    """Deltas that are stored. Topic ``reply.<task id>``."""

    task: TaskId
    attempt: int
    deltas: tuple[Delta, ...]


# -- drivers ----------------------------------------------------------------------------------------------


@VOCABULARY.command("attempt.run", target=None, role=Role.ADMIN)
class AttemptRun(Command[Ok], frozen=True, kw_only=True):
    """Kernel to a driver: work on this leased task. Answered as soon as the driver has taken it."""

    task: Task
    lease_seconds: float


@VOCABULARY.command("attempt.cancel", target=None, role=Role.ADMIN)
class AttemptCancel(Command[Ok], frozen=True, kw_only=True):
    """Kernel to a driver: stop working on this task; its page is closed."""

    id: TaskId
    reason: str = ""


@VOCABULARY.command("attempt.report", target=KERNEL, role=Role.ADMIN)
class AttemptReport(Command[TaskView], frozen=True, kw_only=True):
    """Driver to kernel: an attempt ended, with a sealed ``reply`` or an ``error``."""

    id: TaskId
    token: LeaseToken
    driver: str
    reply: ReplySummary | None = None
    error: TaskError | None = None


@VOCABULARY.command("driver.offer", target=KERNEL, role=Role.ADMIN)
class DriverOffer(Command[Ok], frozen=True, kw_only=True):
    """Driver to kernel: I am this incarnation, I have ``free`` of ``pages`` pages, and these tasks in hand.

    Sent at start, whenever it changes, and every few seconds as the truth.
    """

    driver: str
    incarnation: str
    pages: int
    free: int
    tasks: tuple[TaskId, ...] = ()
    browser: str = ""
    browser_pid: int | None = None


# -- providers --------------------------------------------------------------------------------------------


class ProviderView(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as a list shows it. ``origin``: shipped, discovered or user."""

    name: str
    address: str
    origin: str
    tried_live: bool
    breaker: str = "closed"
    models: tuple[str, ...] = ()


@VOCABULARY.reply("provider.page")
class ProviderPage(Message, frozen=True, kw_only=True):
    """All providers."""

    providers: tuple[ProviderView, ...]


@VOCABULARY.command("provider.list", target=KERNEL, role=Role.VIEWER)
class ProviderList(Command[ProviderPage], frozen=True, kw_only=True):
    """List the providers that recipes describe."""


@VOCABULARY.reply("provider.added")
class ProviderAdded(Message, frozen=True, kw_only=True):
    """The recipe that was found, proved by one exchange, and saved at ``path``."""

    name: str
    address: str
    path: str
    input: str
    send: str
    reply: str
    stream: str
    turns: str
    proof: str


@VOCABULARY.command("provider.add", target=KERNEL)
class ProviderAdd(Command[ProviderAdded], frozen=True, kw_only=True):
    """Find input, send control and reply area of a chat page, prove them by one exchange, save them."""

    url: str
    name: str | None = None
    probe: str | None = None
    replace: bool = False


@VOCABULARY.command("provider.remove", target=KERNEL)
class ProviderRemove(Command[Ok], frozen=True, kw_only=True):
    """Forget a recipe that discovery or the user made."""

    name: str


@VOCABULARY.command("provider.discover", target=None, role=Role.ADMIN)
class ProviderDiscover(Command[ProviderAdded], frozen=True, kw_only=True):
    """Kernel to a driver: do the work of `provider.add`."""

    url: str
    name: str
    probe: str | None = None
