"""The runtime's own messages: cluster status, control of actors, signs of life, the bus's link payloads."""

from __future__ import annotations

from enum import StrEnum

import msgspec

import nerv.bus.messages  # noqa: F401  - the broker's own commands belong to every vocabulary
from nerv.bus.vocabulary import VOCABULARY, Command, Message, Role

SUPERVISOR = "supervisor"


class ActorState(StrEnum):
    """The life of a supervised actor, as the supervisor sees it."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    PARKED = "parked"
    """Exceeded its restart intensity; retried slowly."""
    REFUSED = "refused"
    """Ended with a configuration error; not retried until reload or restart."""
    FINISHED = "finished"
    """Ended as its restart type allows."""


class ActorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One actor of the tree. Times are seconds since the epoch, memory bytes of its whole process tree."""

    name: str
    group: str
    state: ActorState
    pid: int | None = None
    incarnation: str | None = None
    started_at: float | None = None
    restarts: int = 0
    cpu_percent: float = 0.0
    memory_bytes: int = 0
    last_tick_at: float | None = None
    last_exit: str | None = None
    """How its last life ended: ``exit 1``, ``signal 9 (SIGKILL)``, ``hung: no tick for 5.0 s``, …"""
    next_start_at: float | None = None


@VOCABULARY.reply("cluster.status")
class ClusterStatus(Message, frozen=True, kw_only=True):
    """The whole tree with each actor's state."""

    instance: str
    version: str
    supervisor_pid: int
    started_at: float
    stopping: bool = False
    actors: tuple[ActorStatus, ...]


@VOCABULARY.reply("ok")
class Ok(Message, frozen=True, kw_only=True):
    """Done; nothing more to say."""


@VOCABULARY.command("supervisor.status", target=SUPERVISOR, role=Role.VIEWER)
class SupervisorStatus(Command[ClusterStatus], frozen=True, kw_only=True):
    """Ask for the state of every actor."""


@VOCABULARY.command("supervisor.stop", target=SUPERVISOR, role=Role.ADMIN)
class SupervisorStop(Command[Ok], frozen=True, kw_only=True):
    """Stop the whole cluster, in reverse order of start."""


@VOCABULARY.reply("supervisor.reloaded")
class Reloaded(Message, frozen=True, kw_only=True):
    """Which actors a reload added, removed, restarted."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()


@VOCABULARY.command("supervisor.reload", target=SUPERVISOR, role=Role.ADMIN)
class SupervisorReload(Command[Reloaded], frozen=True, kw_only=True):
    """Read supervisor.toml again and change only what differs."""


@VOCABULARY.command("actor.restart", target=SUPERVISOR, role=Role.OPERATOR)
class ActorRestart(Command[Ok], frozen=True, kw_only=True):
    """Stop one actor by the ladder and start it again."""

    name: str
    reason: str = ""


@VOCABULARY.event("actor.changed")
class ActorChanged(Message, frozen=True, kw_only=True):
    """An actor changed its state. Topic ``actor.<name>``."""

    status: ActorStatus


@VOCABULARY.event("tick")
class Tick(Message, frozen=True, kw_only=True):
    """A sign of life that every actor publishes each second. Topic ``tick.<actor>``.

    ``loop_lag`` is in seconds. ``gauges`` are named numbers of that actor (queue depth, open pages, …); counters
    end in ``_total``.
    """

    actor: str
    incarnation: str
    pid: int
    at: float
    loop_lag: float = 0.0
    in_flight: int = 0
    gauges: dict[str, float] = {}


@VOCABULARY.event("peer.changed")
class PeerChanged(Message, frozen=True, kw_only=True):
    """A peer greeted the broker, left, or was fenced. Published by the broker, topic ``peer.<name>``."""

    name: str
    incarnation: str
    up: bool
    reason: str = ""


@VOCABULARY.event("log.line", role=Role.OPERATOR)
class LogLine(Message, frozen=True, kw_only=True):
    """One warning or error of an actor's log, conflated for monitors. Topic ``log.<actor>``."""

    actor: str
    at: float
    level: str
    event: str
    detail: str = ""
    correlation: str = ""
