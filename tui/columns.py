"""The columns of the tables: what a row says about an actor, a task, a provider. Pure; widths are fixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from kernel.messages import ProviderView
from kernel.tasks import FINAL_STATES, Stage, Task, TaskState
from nerv.messages import ActorState, ActorStatus, Tick
from tui.formats import age, counted, number, one_line, size, sparkline
from tui.looks import ACTOR_LOOKS, BREAKER_LOOKS, TASK_LOOKS, Tone
from tui.model import ClusterModel

RowT = TypeVar("RowT")
Cell = tuple[str, Tone]
LAG_SECONDS = 0.25
"""A loop that comes this late has been blocked by something."""
SHORT_ID = 8
"""Characters of a task's id that are shown; commands take a prefix of 6 or more."""
GAUGE_WORDS = (
    ("bus_peers", "peers"),
    ("drivers", "drivers"),
    ("pages_free", "pages free"),
    ("tasks_in_hand", "in hand"),
    ("database_waiting", "waiting to be written"),
    ("bus_waiting", "waiting"),
    ("bus_dead_letters", "dead letters"),
)
"""Gauges that say what an actor does, in the order they are shown; those at zero are left out."""


@dataclass(frozen=True, kw_only=True)
class Column(Generic[RowT]):
    """``width`` in cells, 0: all that is left (one column may say so). Shown in tables of ``from_width`` or more."""

    title: str
    width: int
    cell: Callable[[RowT, float], Cell]
    from_width: int = 0
    right: bool = False


def actor_columns(model: ClusterModel) -> tuple[Column[ActorStatus], ...]:
    def state(actor: ActorStatus, now: float) -> Cell:
        if model.silence(actor.name, now) is not None:
            return "◌ silent", Tone.WAIT
        symbol, tone = ACTOR_LOOKS[actor.state]
        return f"{symbol} {actor.state}", tone

    def uptime(actor: ActorStatus, now: float) -> Cell:
        if actor.started_at is None or actor.state not in (ActorState.READY, ActorState.STARTING):
            return "–", Tone.FAINT
        return age(now - actor.started_at), Tone.PLAIN

    def restarts(actor: ActorStatus, now: float) -> Cell:
        return str(actor.restarts), Tone.WAIT if actor.restarts else Tone.FAINT

    def cpu(actor: ActorStatus, now: float) -> Cell:
        tone = Tone.WAIT if actor.cpu_percent >= 90 else Tone.PLAIN if actor.cpu_percent >= 1 else Tone.FAINT
        return f"{actor.cpu_percent:.0f}%" if actor.cpu_percent >= 99.5 else f"{actor.cpu_percent:.1f}%", tone

    def cpu_bars(actor: ActorStatus, now: float) -> Cell:
        return sparkline(tuple(model.cpu.get(actor.name, ())), 12, top=25.0), Tone.BUSY

    def memory(actor: ActorStatus, now: float) -> Cell:
        return (size(actor.memory_bytes), Tone.PLAIN) if actor.memory_bytes else ("–", Tone.FAINT)

    def lag(actor: ActorStatus, now: float) -> Cell:
        tick = model.ticks.get(actor.name)
        if tick is None:
            return "–", Tone.FAINT
        return f"{tick.loop_lag * 1000:.0f}ms", Tone.WAIT if tick.loop_lag >= LAG_SECONDS else Tone.FAINT

    def doing(actor: ActorStatus, now: float) -> Cell:
        return actor_doing(model, actor, now)

    return (
        Column(title="ACTOR", width=11, cell=lambda a, now: (a.name, Tone.STRONG)),
        Column(title="STATE", width=10, cell=state),
        Column(title="PID", width=7, cell=lambda a, now: (str(a.pid or "–"), Tone.FAINT), right=True),
        Column(title="UP", width=6, cell=uptime, right=True),
        Column(title="RST", width=3, cell=restarts, right=True),
        Column(title="CPU", width=5, cell=cpu, right=True),
        Column(title="", width=12, cell=cpu_bars, from_width=100),
        Column(title="MEM", width=5, cell=memory, right=True),
        Column(title="LAG", width=5, cell=lag, right=True, from_width=112),
        Column(title="DOING", width=0, cell=doing),
    )


def actor_doing(model: ClusterModel, actor: ActorStatus, now: float) -> Cell:
    """What an actor does, or what is wrong with it: the one thing that an operator wants to know of it."""
    if actor.state in (ActorState.BACKOFF, ActorState.PARKED) and actor.next_start_at is not None:
        return f"again in {age(actor.next_start_at - now)} · {actor.last_exit or 'ended'}", Tone.WAIT
    if actor.state is not ActorState.READY:
        return (one_line(actor.last_exit), Tone.WAIT) if actor.last_exit else ("", Tone.FAINT)
    silent = model.silence(actor.name, now)
    if silent is not None:
        return f"no tick for {age(silent)}", Tone.WAIT
    tick = model.ticks.get(actor.name)
    if tick is not None and tick.loop_lag >= LAG_SECONDS:
        return f"loop late by {tick.loop_lag * 1000:.0f} ms", Tone.WAIT
    tasks = model.tasks_of(actor.name, actor.incarnation)
    if tasks:
        first = min(tasks, key=lambda task: task.created_at)
        more = f" +{len(tasks) - 1}" if len(tasks) > 1 else ""
        return f"▶ {first.id[:SHORT_ID]}{more} {first.stage}", Tone.BUSY
    if actor.name == "queue" and model.counts is not None:
        states = model.counts.states
        waiting = states.get(TaskState.PENDING, 0) + states.get(TaskState.RETRY, 0)
        running = states.get(TaskState.RUNNING, 0)
        if waiting or running:
            return f"{number(waiting)} waiting, {number(running)} running", Tone.BUSY
    if tick is None:
        return "", Tone.FAINT
    return _from_gauges(model, actor.name, tick, now)


def _from_gauges(model: ClusterModel, name: str, tick: Tick, now: float) -> Cell:
    gauges = tick.gauges
    if gauges.get("browser_up") == 0.0:
        return "browser is starting", Tone.WAIT
    open_breakers = sum(value > 0 for gauge, value in gauges.items() if gauge.startswith("breaker_state{"))
    if open_breakers:
        return f"{counted(open_breakers, 'breaker')} not closed (b shows)", Tone.WAIT
    if "pages" in gauges:
        return f"{number(gauges.get('pages_free', 0))} of {number(gauges['pages'])} pages free", Tone.FAINT
    shown = [f"{number(gauges[gauge])} {words}" for gauge, words in GAUGE_WORDS if gauges.get(gauge)]
    commits = model.commit_rates[name].per_second(now) if name in model.commit_rates else None
    if commits:
        shown.insert(0, f"{number(round(commits, 1))} commits/s")
    if tick.in_flight and name != "bus":
        shown.insert(0, f"{tick.in_flight} in flight")
    return (" · ".join(shown), Tone.PLAIN) if shown else ("idle", Tone.FAINT)


def task_columns() -> tuple[Column[Task], ...]:
    def state(task: Task, now: float) -> Cell:
        symbol, tone = TASK_LOOKS[task.state]
        return f"{symbol} {task.state}", tone

    def stage(task: Task, now: float) -> Cell:
        return (
            (task.stage, Tone.FAINT if task.state in FINAL_STATES else Tone.PLAIN)
            if (task.stage is not Stage.NONE)
            else ("–", Tone.FAINT)
        )

    def tries(task: Task, now: float) -> Cell:
        return str(task.attempt), Tone.WAIT if task.attempt > 1 else Tone.FAINT

    def worker(task: Task, now: float) -> Cell:
        return (task.lease.owner.partition("@")[0], Tone.PLAIN) if task.lease else ("–", Tone.FAINT)

    return (
        Column(title="STATE", width=11, cell=state),
        Column(title="TASK", width=SHORT_ID, cell=lambda t, now: (t.id[:SHORT_ID], Tone.FAINT)),
        Column(title="PROVIDER", width=11, cell=lambda t, now: (t.provider, Tone.PLAIN)),
        Column(title="STAGE", width=9, cell=stage, from_width=96),
        Column(title="WORKER", width=9, cell=worker, from_width=110),
        Column(title="AGE", width=6, cell=lambda t, now: (age(task_age(t, now)), Tone.PLAIN), right=True),
        Column(title="TRY", width=3, cell=tries, right=True),
        Column(title="PROMPT", width=0, cell=lambda t, now: task_text(t)),
    )


def task_age(task: Task, now: float) -> float:
    """How long a task took, or has existed so far (seconds)."""
    return (task.finished_at if task.finished_at is not None else now) - task.created_at


def task_text(task: Task) -> Cell:
    """The beginning of the prompt; for a task in trouble, what the trouble is."""
    if task.error is not None and task.state in (TaskState.DEAD, TaskState.RETRY, TaskState.FAILED):
        return (
            f"{task.error.kind}: {one_line(task.error.reason)}",
            Tone.BAD if task.state is TaskState.DEAD else Tone.ODD,
        )
    return one_line(task.prompt), Tone.FAINT if task.state in FINAL_STATES else Tone.PLAIN


def provider_columns() -> tuple[Column[ProviderView], ...]:
    def breaker(provider: ProviderView, now: float) -> Cell:
        symbol, tone = BREAKER_LOOKS.get(provider.breaker, ("?", Tone.WAIT))
        return f"{symbol} {provider.breaker}", tone

    return (
        Column(title="BREAKER", width=11, cell=breaker),
        Column(title="PROVIDER", width=14, cell=lambda p, now: (p.name, Tone.STRONG)),
        Column(title="ORIGIN", width=10, cell=lambda p, now: (p.origin, Tone.PLAIN), from_width=60),
        Column(
            title="TRIED",
            width=7,
            cell=lambda p, now: ("live", Tone.GOOD) if p.tried_live else ("not yet", Tone.FAINT),
        ),
        Column(title="ADDRESS", width=0, cell=lambda p, now: (one_line(p.address), Tone.FAINT)),
    )
