"""Circuit breakers: stop giving work to a provider's account, or to a driver, that keeps failing at it.

Closed: work flows. Open: none does, until the cool-down has passed. Half-open: one probe at a time; its success
closes the breaker, its failure opens it again for longer. A restart of a process is another thing: see the
supervisor.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec.structs import replace


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Times in seconds. ``probe_seconds``: a probe without a result after this long counts as failed."""

    threshold: int = 5
    cooldown: float = 30.0
    growth: float = 2.0
    cooldown_max: float = 1800.0
    probe_seconds: float = 900.0


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """One breaker as it is. ``failures`` in a row; ``trips``: openings since it was last closed."""

    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    trips: int = 0
    until: float = 0.0
    """OPEN: when the cool-down ends. HALF_OPEN with a probe: when the probe is given up."""
    probe: str | None = None
    reason: str = ""


def at(breaker: Breaker, policy: BreakerPolicy, *, now: float) -> Breaker:
    """The breaker as time has made it: an open one whose cool-down has passed is half-open."""
    if breaker.state is BreakerState.OPEN and now >= breaker.until:
        return replace(breaker, state=BreakerState.HALF_OPEN, until=0.0, probe=None)
    if breaker.state is BreakerState.HALF_OPEN and breaker.probe is not None and now >= breaker.until:
        return _open(breaker, policy, reason=f"no result of the probe {breaker.probe}", now=now)
    return breaker


def admits(breaker: Breaker) -> int | None:
    """How many pieces of work may start: None for any number, 1 for a probe, 0 for none."""
    match breaker.state:
        case BreakerState.CLOSED:
            return None
        case BreakerState.HALF_OPEN if breaker.probe is None:
            return 1
        case _:
            return 0


def started(breaker: Breaker, policy: BreakerPolicy, *, work: str, now: float) -> Breaker:
    """Work ``work`` began: in a half-open breaker it is the probe."""
    if breaker.state is BreakerState.HALF_OPEN and breaker.probe is None:
        return replace(breaker, probe=work, until=now + policy.probe_seconds)
    return breaker


def dropped(breaker: Breaker, *, work: str) -> Breaker:
    """Work ended without saying anything about the provider (cancelled, lost): the next one may probe."""
    if breaker.state is BreakerState.HALF_OPEN and breaker.probe == work:
        return replace(breaker, probe=None, until=0.0)
    return breaker


def succeeded(breaker: Breaker, *, work: str) -> Breaker:
    """A success closes a half-open breaker if it is the probe's; a straggler's does not close an open one."""
    if breaker.state is BreakerState.CLOSED:
        return Breaker() if breaker.failures else breaker
    if breaker.state is BreakerState.HALF_OPEN and breaker.probe == work:
        return Breaker()
    return breaker


def failed(
    breaker: Breaker,
    policy: BreakerPolicy,
    *,
    work: str,
    reason: str,
    now: float,
    blocks: bool = False,
    retry_after: float | None = None,
) -> Breaker:
    """One more failure. ``blocks`` opens at once. ``retry_after`` (seconds): the page named the pause. It is the
    first cool-down then, and the least of those that follow."""
    match breaker.state:
        case BreakerState.CLOSED:
            counted = replace(breaker, failures=breaker.failures + 1, reason=reason)
            if blocks or counted.failures >= policy.threshold:
                return _open(counted, policy, reason=reason, now=now, named=retry_after)
            return counted
        case BreakerState.HALF_OPEN if breaker.probe == work:
            return _open(breaker, policy, reason=reason, now=now, named=retry_after)
        case BreakerState.OPEN if retry_after is not None:
            return replace(breaker, until=max(breaker.until, now + retry_after))
        case _:
            return breaker


def _open(
    breaker: Breaker, policy: BreakerPolicy, *, reason: str, now: float, named: float | None = None
) -> Breaker:
    cooldown = min(policy.cooldown_max, policy.cooldown * policy.growth ** min(breaker.trips, 60))
    if named is not None:
        cooldown = max(cooldown, named) if breaker.trips else named
    return replace(
        breaker,
        state=BreakerState.OPEN,
        trips=breaker.trips + 1,
        until=now + cooldown,
        probe=None,
        reason=reason,
    )
