"""What the monitor knows of a cluster: a fold over snapshots and events. Time is a parameter; nothing is asked here."""

from __future__ import annotations

from collections import deque
from enum import StrEnum

import msgspec

from kernel.messages import (
    ProviderPage,
    ProviderView,
    QueueCounts,
    ReplyDelta,
    ReplyView,
    TaskChanged,
    TaskPage,
)
from kernel.tasks import FINAL_STATES, Task, TaskId, TaskState
from nerv.bus.vocabulary import Message
from nerv.errors import ErrorInfo
from nerv.messages import ActorChanged, ActorState, ActorStatus, ClusterStatus, LogLine, PeerChanged, Tick
from tui.rates import Rate
from tui.reply_text import ReplyText

MAX_TASKS = 500
"""Tasks kept; beyond it the finished ones that changed longest ago go first."""
MAX_LOG_LINES = 2_000
MAX_ACTORS = 256
CPU_HISTORY = 40
STALE_SECONDS = 3.5
"""Every actor ticks each second: three ticks of silence from all of them mean that what is shown is old."""
SILENT_SECONDS = 5.0
"""An actor that has not ticked for this long is shown as silent (the bus's own measure: five ticks)."""
HOLD_SECONDS = 4.0
"""How long the reply of a task that has ended stays in view before the next running task is shown."""
BUS_COUNTERS = ("bus_messages_total", "bus_events_total")
"""Gauges of the broker's tick that together count what it carries."""
COMMIT_COUNTER = "database_commits_total"


class LinkState(StrEnum):
    CONNECTING = "connecting"
    """Nothing has been heard yet."""
    LIVE = "live"
    STALE = "stale"
    """Connected, but silent: what is shown is old."""
    LOST = "lost"
    """Was connected. What is shown is the last that was known."""


class ClusterModel:
    """The state of one cluster as far as this process knows it. ``version`` grows with every change."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self.version = 0
        self.attached = False
        self.heard_at: float | None = None
        self.listening_since: float | None = None
        """When the first word came through the present connection: no silence is older than that."""
        self.link_error: ErrorInfo | None = None
        self.connect_attempts = 0
        self.next_attempt_at: float | None = None
        self.cluster: ClusterStatus | None = None
        self.actors: dict[str, ActorStatus] = {}
        self.ticks: dict[str, Tick] = {}
        self.cpu: dict[str, deque[float]] = {}
        self.counts: QueueCounts | None = None
        self.counts_dirty = True
        self.tasks: dict[TaskId, Task] = {}
        self.providers: tuple[ProviderView, ...] = ()
        self.logs: deque[LogLine] = deque(maxlen=MAX_LOG_LINES)
        self.logs_seen = 0
        self.problems: dict[str, ErrorInfo] = {}
        self.needs_resync = True
        self.gaps = 0
        self.reply: ReplyText | None = None
        self.message_rate = Rate(window=5.0)
        self.done_rate = Rate(window=60.0)
        self.commit_rates: dict[str, Rate] = {}
        self._selected_ended_at: float | None = None

    # -- the link ---------------------------------------------------------------------------------------------

    def link(self, now: float) -> LinkState:
        if self.heard_at is None:
            return LinkState.CONNECTING
        if not self.attached:
            return LinkState.LOST
        return LinkState.STALE if now - self.heard_at > STALE_SECONDS else LinkState.LIVE

    def data_age(self, now: float) -> float | None:
        """Seconds since anything was heard of the cluster; None before the first word."""
        return None if self.heard_at is None else max(0.0, now - self.heard_at)

    def link_up(self) -> None:
        """A connection is there (nothing is known through it yet): ask for everything again."""
        self.attached = True
        self.listening_since = None
        self.link_error = None
        self.next_attempt_at = None
        self.connect_attempts = 0
        self.problems.clear()
        self.resync()

    def link_down(self, error: ErrorInfo, *, next_attempt_at: float | None) -> None:
        self.attached = False
        self.link_error = error
        self.connect_attempts += 1
        self.next_attempt_at = next_attempt_at
        self.version += 1

    def link_suspended(self, error: ErrorInfo) -> None:
        """The client has lost the broker and looks for it by itself."""
        self.attached = False
        self.link_error = error
        self.version += 1

    def resync(self) -> None:
        """Events may have been missed: every snapshot is to be taken again."""
        self.needs_resync = True
        self.counts_dirty = True
        if self.reply is not None:
            self.reply.wants_read = True
        self.version += 1

    def problem(self, source: str, error: ErrorInfo | None) -> None:
        """What the last question to ``source`` failed with; None: it answered."""
        if error is None:
            if self.problems.pop(source, None) is not None:
                self.version += 1
        elif self.problems.get(source) != error:
            self.problems[source] = error
            self.version += 1

    # -- snapshots --------------------------------------------------------------------------------------------

    def apply_status(self, status: ClusterStatus, now: float) -> None:
        self._heard(now)
        self.cluster = status
        self.actors = {actor.name: actor for actor in status.actors[:MAX_ACTORS]}
        for name in [
            name for name in (*self.ticks, *self.cpu, *self.commit_rates) if name not in self.actors
        ]:
            self.ticks.pop(name, None)
            self.cpu.pop(name, None)
            self.commit_rates.pop(name, None)
        for actor in self.actors.values():
            self.cpu.setdefault(actor.name, deque(maxlen=CPU_HISTORY)).append(actor.cpu_percent)

    def apply_counts(self, counts: QueueCounts, now: float) -> None:
        self._heard(now)
        self.counts = counts
        self.done_rate.add(float(counts.states.get(TaskState.DONE, 0)), now)

    def apply_tasks(self, page: TaskPage, now: float) -> None:
        """The newest tasks. Where an event has already told of a later change, the event stands."""
        self._heard(now)
        listed = {task.id for task in page.tasks}
        if page.next is None:
            # The page holds all there is: a task that is not on it and is older than the newest of it is gone.
            newest = max((task.updated_at for task in page.tasks), default=0.0)
            for gone in [t.id for t in self.tasks.values() if t.id not in listed and t.updated_at < newest]:
                del self.tasks[gone]
        for task in page.tasks:
            self._put_task(task, now)
        self.needs_resync = False
        self._bound_tasks()

    def apply_providers(self, page: ProviderPage, now: float) -> None:
        self._heard(now)
        self.providers = page.providers

    def apply_reply(self, view: ReplyView, now: float) -> None:
        self._heard(now)
        if self.reply is not None and view.task == self.reply.task:
            self.reply.apply_view(view)

    # -- events -----------------------------------------------------------------------------------------------

    def apply_event(self, message: Message, gap: int, now: float) -> None:
        """Fold in one event; ``gap`` events of its source were missed before it."""
        self._heard(now)
        match message:
            case Tick():
                if message.actor in self.ticks or len(self.ticks) < MAX_ACTORS:
                    self.ticks[message.actor] = message
                    self._count(message, now)
            case ActorChanged(status=status):
                if status.name in self.actors or len(self.actors) < MAX_ACTORS:
                    self.actors[status.name] = status
                if status.state is not ActorState.READY:
                    self.ticks.pop(status.name, None)
            case TaskChanged(task=task):
                self.counts_dirty = True
                self._put_task(task, now)
                self._bound_tasks()
            case ReplyDelta(task=task_id, attempt=attempt, deltas=deltas):
                if self.reply is not None and self.reply.task == task_id:
                    if gap:
                        self.reply.wants_read = True
                    self.reply.apply_deltas(attempt, deltas)
            case LogLine():
                self.logs.append(message)
                self.logs_seen += 1
            case PeerChanged():
                self.counts_dirty = True
            case _:
                pass
        # A missed tick is replaced by the next one; everything else must be asked for again.
        if gap and not isinstance(message, Tick | ReplyDelta):
            self.gaps += gap
            self.resync()

    # -- the selected task ------------------------------------------------------------------------------------

    def select(self, task_id: TaskId | None) -> bool:
        """Show the reply of this task; returns whether that is a change."""
        if task_id == (self.reply.task if self.reply else None):
            return False
        self.reply = ReplyText(task_id) if task_id is not None else None
        self._selected_ended_at = None
        self.version += 1
        return True

    def suggested_task(self, now: float) -> TaskId | None:
        """Which task to show while the user has chosen none: a running one; an ended one stays for a moment."""
        selected = self.tasks.get(self.reply.task) if self.reply else None
        if selected is not None:
            if selected.state is TaskState.RUNNING:
                return selected.id
            if self._selected_ended_at is not None and now - self._selected_ended_at < HOLD_SECONDS:
                return selected.id
        running = next((t for t in self.sorted_tasks() if t.state is TaskState.RUNNING), None)
        if running is not None:
            return running.id
        if selected is not None:
            return selected.id
        return next((task.id for task in self.sorted_tasks()), None)

    # -- views ------------------------------------------------------------------------------------------------

    def sorted_tasks(self) -> tuple[Task, ...]:
        """Running tasks first (oldest first, so that they stay in their place), then by their last change."""
        return tuple(
            sorted(
                self.tasks.values(),
                key=lambda t: (
                    (0, t.created_at, t.id) if t.state is TaskState.RUNNING else (1, -t.updated_at, t.id)
                ),
            )
        )

    def tasks_of(self, actor: str, incarnation: str | None) -> tuple[Task, ...]:
        """The running tasks whose lease is owned by this actor (any of its lives, if that is not known)."""
        owner = f"{actor}@{incarnation}" if incarnation else f"{actor}@"
        return tuple(
            task
            for task in self.tasks.values()
            if task.state is TaskState.RUNNING
            and task.lease is not None
            and task.lease.owner.startswith(owner)
        )

    def silence(self, actor: str, now: float) -> float | None:
        """Seconds without a tick of a ready actor, if they are too many."""
        status = self.actors.get(actor)
        if status is None or status.state is not ActorState.READY:
            return None
        ticked = self.ticks.get(actor)
        known = (ticked.at if ticked else None, status.last_tick_at, status.started_at, self.listening_since)
        last = max((at for at in known if at is not None), default=now)
        return now - last if now - last > SILENT_SECONDS else None

    @property
    def actors_up(self) -> int:
        return sum(actor.state is ActorState.READY for actor in self.actors.values())

    # -- within -----------------------------------------------------------------------------------------------

    def _heard(self, now: float) -> None:
        self.heard_at = now
        if self.listening_since is None:
            self.listening_since = now
        self.version += 1

    def _count(self, tick: Tick, now: float) -> None:
        if tick.actor == "bus":
            self.message_rate.add(sum(tick.gauges.get(name, 0.0) for name in BUS_COUNTERS), now)
        if COMMIT_COUNTER in tick.gauges:
            rate = self.commit_rates.setdefault(tick.actor, Rate(window=5.0))
            rate.add(tick.gauges[COMMIT_COUNTER], now)

    def _put_task(self, task: Task, now: float) -> None:
        known = self.tasks.get(task.id)
        if known is not None:
            if known.updated_at > task.updated_at:
                return
            if len(known.prompt) > len(task.prompt):
                # An event carries the beginning of the prompt only; what the snapshot told us is more.
                task = msgspec.structs.replace(task, prompt=known.prompt)
        self.tasks[task.id] = task
        if self.reply is not None and self.reply.task == task.id and task.state in FINAL_STATES:
            if self._selected_ended_at is None:
                self._selected_ended_at = now
            if self.reply.sealed is None and (known is None or known.state is not task.state):
                self.reply.wants_read = True

    def _bound_tasks(self) -> None:
        excess = len(self.tasks) - MAX_TASKS
        if excess <= 0:
            return
        selected = self.reply.task if self.reply else None
        first = sorted(
            (task for task in self.tasks.values() if task.id != selected),
            key=lambda task: (
                task.state is TaskState.RUNNING,
                task.state not in FINAL_STATES,
                task.updated_at,
            ),
        )
        for task in first[:excess]:
            del self.tasks[task.id]
