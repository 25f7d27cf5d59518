"""When a dead actor is started again, and which siblings go with it. Pure: time and chance are parameters.

The vocabulary and the semantics are those of Erlang/OTP, with three changes. Intensity is counted per child and
per group, so that one bad driver does not stop its siblings. A child that exceeds it is parked and retried
slowly instead of taking the tree down. A configuration error is not retried at all.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from nerv.errors import EXIT_CONFIGURATION


class Strategy(StrEnum):
    """Which siblings of a dead actor are restarted with it."""

    ONE_FOR_ONE = "one_for_one"
    REST_FOR_ONE = "rest_for_one"
    """Those written after it: they hold state that came from it."""
    ONE_FOR_ALL = "one_for_all"


class RestartType(StrEnum):
    """After which ends an actor is started again."""

    PERMANENT = "permanent"
    """Always."""
    TRANSIENT = "transient"
    """Unless it ended with status 0."""
    TEMPORARY = "temporary"
    """Never."""


class ExitKind(StrEnum):
    """How a life ended."""

    CLEAN = "clean"
    FAILED = "failed"
    SIGNALLED = "signalled"
    NOT_READY = "not_ready"
    HUNG = "hung"
    MEMORY = "memory"
    REFUSED = "refused"
    """Exit status 78: the actor found its configuration wrong."""
    ASKED = "asked"
    """The supervisor stopped it on purpose: no failure, whatever the status."""


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one life; ``text`` is for people (``exit 1``, ``signal 9 (SIGKILL)``)."""

    kind: ExitKind
    text: str


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of restarting one child and its group. All times in seconds."""

    limit: int = 5
    window: float = 30.0
    backoff_min: float = 0.5
    backoff_max: float = 30.0
    parked: float = 30.0
    group_limit: int = 20
    group_window: float = 60.0

    @property
    def healthy(self) -> float:
        """A spell of readiness after which earlier failures are forgotten.

        Resetting at the first sign of readiness makes a hot loop of an actor that dies right after it
        (akka-core 29889), hence the middle of the back-off range.
        """
        return (self.backoff_min + self.backoff_max) / 2


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What a child's past says: failures in a row, and when the recent ones were."""

    failures: int = 0
    recent: tuple[float, ...] = ()
    parked: bool = False


class Outcome(StrEnum):
    RESTART = "restart"
    PARK = "park"
    REFUSE = "refuse"
    FINISH = "finish"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to a dead child; ``delay`` in seconds for RESTART and PARK."""

    outcome: Outcome
    delay: float = 0.0


def classify(returncode: int) -> Exit:
    """The end of a life that nobody asked for, from its status as :mod:`subprocess` gives it."""
    if returncode == 0:
        return Exit(kind=ExitKind.CLEAN, text="exit 0")
    if returncode == EXIT_CONFIGURATION:
        return Exit(kind=ExitKind.REFUSED, text=f"exit {returncode} (wrong configuration)")
    if returncode > 0:
        return Exit(kind=ExitKind.FAILED, text=f"exit {returncode}")
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = "real-time"
    return Exit(kind=ExitKind.SIGNALLED, text=f"signal {-returncode} ({name})")


def wants_restart(restart: RestartType, kind: ExitKind) -> bool:
    """Whether an actor of this type is started again after such an end (REFUSED aside)."""
    if kind is ExitKind.ASKED:
        return restart is not RestartType.TEMPORARY
    match restart:
        case RestartType.PERMANENT:
            return True
        case RestartType.TRANSIENT:
            return kind is not ExitKind.CLEAN
        case RestartType.TEMPORARY:
            return False


def decide(
    restart: RestartType,
    end: Exit,
    history: History,
    policy: Policy,
    *,
    now: float,
    ready_at: float | None,
    group_recent: Sequence[float] = (),
    chance: float,
) -> tuple[Decision, History]:
    """What to do with a child that ended, and its new history.

    ``ready_at`` is when this life became ready (None: never), ``group_recent`` when members of the group
    failed lately, this end not counted; ``chance`` is uniform in [0, 1). ``now`` must be monotonic: a wall
    clock that is set back would hold restarts (supervisord had to patch this).
    """
    if end.kind is ExitKind.REFUSED:
        return Decision(outcome=Outcome.REFUSE), history
    if not wants_restart(restart, end.kind):
        return Decision(outcome=Outcome.FINISH), history
    if end.kind is ExitKind.ASKED:
        return Decision(outcome=Outcome.RESTART), history
    if ready_at is not None and now - ready_at >= policy.healthy:
        history = History()
    recent = (*(at for at in history.recent if now - at < policy.window), now)
    failures = history.failures + 1
    in_group = 1 + sum(1 for at in group_recent if now - at < policy.group_window)
    if history.parked or len(recent) > policy.limit or in_group > policy.group_limit:
        # Between one half and the whole, so that children parked together do not come back together.
        delay = policy.parked * (0.5 + chance / 2)
        return (
            Decision(outcome=Outcome.PARK, delay=delay),
            History(failures=failures, recent=recent[-policy.limit - 1 :], parked=True),
        )
    return (
        Decision(outcome=Outcome.RESTART, delay=backoff(failures, policy, chance)),
        History(failures=failures, recent=recent),
    )


def backoff(failures: int, policy: Policy, chance: float) -> float:
    """Seconds to wait before the start that follows failure number ``failures`` in a row; the first is free."""
    if failures <= 1:
        return 0.0
    doublings = min(failures - 2, 62)
    return min(policy.backoff_max, policy.backoff_min * 2.0**doublings) * chance


def affected(strategy: Strategy, siblings: Sequence[str], failed: str) -> tuple[str, ...]:
    """Siblings, in order of start, that are stopped and started again with ``failed`` (which is not in it)."""
    match strategy:
        case Strategy.ONE_FOR_ONE:
            return ()
        case Strategy.REST_FOR_ONE:
            return tuple(siblings[siblings.index(failed) + 1 :])
        case Strategy.ONE_FOR_ALL:
            return tuple(name for name in siblings if name != failed)
