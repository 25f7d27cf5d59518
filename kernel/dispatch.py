"""Which driver gets how many leases, and of which providers. Affinity and pacing will be decided here too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from kernel.breaker import Breaker, BreakerState, admits
from kernel.tasks import Task


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver can take now. ``in_hand``: leased to it already."""

    driver: str
    incarnation: str
    free: int
    in_hand: int = 0

    @property
    def owner(self) -> str:
        return f"{self.driver}@{self.incarnation}"


class LeaseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One question to the queue. ``probe``: the half-open breaker whose single probe this is to find."""

    driver: str
    owner: str
    limit: int
    without_keys: tuple[str, ...] = ()
    only_keys: tuple[str, ...] | None = None
    probe: str | None = None


def account_key(task: Task) -> str:
    """The name of the breaker of a task's provider and account."""
    return f"{task.provider}/{task.account}"


def plan(
    drivers: Iterable[Capacity],
    accounts: Mapping[str, Breaker],
    browsers: Mapping[str, Breaker],
) -> tuple[LeaseRequest, ...]:
    """What to ask the queue for, the emptiest driver first.

    ``accounts``: breakers by ``provider/account``; ``browsers``: breakers by driver. Accounts whose breaker is
    not closed are left out, so that their tasks wait without losing attempts; each half-open one gets one probe
    of its own, on the driver with most room. A half-open driver gets one task at a time.
    """
    closed_out = tuple(
        sorted(key for key, breaker in accounts.items() if breaker.state is not BreakerState.CLOSED)
    )
    probes = sorted(key for key, breaker in accounts.items() if admits(breaker) == 1)
    room = {found.driver: (found, _room(found, browsers.get(found.driver))) for found in drivers}
    requests: list[LeaseRequest] = []
    for key in probes:
        chosen = max(room.values(), key=lambda item: (item[1], item[0].driver), default=None)
        if chosen is None or chosen[1] < 1:
            break
        capacity, left = chosen
        room[capacity.driver] = (capacity, left - 1)
        requests.append(
            LeaseRequest(driver=capacity.driver, owner=capacity.owner, limit=1, only_keys=(key,), probe=key)
        )
    by_load = sorted(room.values(), key=lambda item: (item[0].in_hand, -item[1], item[0].driver))
    for capacity, left in by_load:
        if left > 0:
            requests.append(
                LeaseRequest(
                    driver=capacity.driver, owner=capacity.owner, limit=left, without_keys=closed_out
                )
            )
    return tuple(requests)


def _room(capacity: Capacity, breaker: Breaker | None) -> int:
    allowed = None if breaker is None else admits(breaker)
    free = max(0, capacity.free)
    if allowed is None:
        return free
    return min(free, allowed) if capacity.in_hand == 0 else 0
