"""What the kernel knows of its drivers: offers, tasks in hand, and leases whose worker is gone.

Offers are the truth and come every few seconds; what was handed over since the last one is remembered beside it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from kernel.dispatch import Capacity
from kernel.messages import DriverOffer
from kernel.tasks import LeaseToken, Task, TaskId

OFFER_SECONDS = 10.0
"""A driver that has not offered for this long gets no more work."""
GIVEN_SECONDS = 5.0
"""A task that a driver took must be in an offer made this much later, or it was dropped."""
START_GRACE = 10.0
"""After its own start the kernel waits this long for the drivers' offers before it takes a worker for dead."""


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """Leases to take back: all of ``owner``, or one task that its live worker does not have (no loss)."""

    owner: str
    reason: str
    id: TaskId | None = None
    loss: bool = True


class _Given(msgspec.Struct, frozen=True):
    driver: str
    at: float


class Workforce:
    """``now`` is any clock in seconds that does not go back."""

    def __init__(self, *, now: float) -> None:
        self._started = now
        self._offers: dict[str, DriverOffer] = {}
        self._seen: dict[str, float] = {}
        self._given: dict[TaskId, _Given] = {}
        self._missing: dict[tuple[TaskId, LeaseToken], float] = {}

    @property
    def offers(self) -> tuple[DriverOffer, ...]:
        return tuple(self._offers.values())

    def offer(self, offer: DriverOffer, *, now: float) -> Lost | None:
        """Take a driver's offer; what its former life held is lost."""
        before = self._offers.get(offer.driver)
        lost = None
        if before is not None and before.incarnation != offer.incarnation:
            lost = self.gone(offer.driver, reason=f"{offer.driver} began a new life")
        self._offers[offer.driver] = offer
        self._seen[offer.driver] = now
        for task_id, given in list(self._given.items()):
            if given.driver == offer.driver and (task_id in offer.tasks or now - given.at > GIVEN_SECONDS):
                del self._given[task_id]
        return lost

    def gone(self, driver: str, *, reason: str, unless: str | None = None) -> Lost | None:
        """A driver's life has ended, ``unless`` the one we know is that incarnation. None: nothing is known."""
        offer = self._offers.get(driver)
        if offer is None or offer.incarnation == unless:
            return None
        del self._offers[driver]
        del self._seen[driver]
        for task_id in [task_id for task_id, given in self._given.items() if given.driver == driver]:
            del self._given[task_id]
        return Lost(owner=f"{driver}@{offer.incarnation}", reason=reason)

    def gave(self, driver: str, task_id: TaskId, *, now: float) -> None:
        self._given[task_id] = _Given(driver, now)

    def full(self, driver: str) -> None:
        """A driver had no page after all: no more work until its next offer."""
        offer = self._offers.get(driver)
        if offer is not None:
            self._offers[driver] = msgspec.structs.replace(offer, free=0)

    def ended(self, task_id: TaskId) -> None:
        self._given.pop(task_id, None)

    def holder(self, task_id: TaskId) -> str | None:
        """The driver that has the task in hand, as far as is known."""
        given = self._given.get(task_id)
        if given is not None:
            return given.driver
        return next((offer.driver for offer in self._offers.values() if task_id in offer.tasks), None)

    def capacities(self, *, now: float) -> tuple[Capacity, ...]:
        found = []
        for offer in self._offers.values():
            if now - self._seen[offer.driver] > OFFER_SECONDS:
                continue
            unseen = sum(
                given.driver == offer.driver and task_id not in offer.tasks
                for task_id, given in self._given.items()
            )
            found.append(
                Capacity(
                    driver=offer.driver,
                    incarnation=offer.incarnation,
                    free=max(0, offer.free - unseen),
                    in_hand=len(offer.tasks) + unseen,
                )
            )
        return tuple(found)

    def lost(self, running: Iterable[Task], *, now: float) -> tuple[Lost, ...]:
        """Compare the leases of the queue with the offers: whose worker is gone, which task was dropped."""
        owners: dict[str, Lost] = {}
        dropped: list[Lost] = []
        missing: dict[tuple[TaskId, LeaseToken], float] = {}
        for task in running:
            if task.lease is None:
                continue
            owner = task.lease.owner
            driver, _, incarnation = owner.rpartition("@")
            offer = self._offers.get(driver)
            if offer is None:
                if now - self._started > START_GRACE:
                    owners[owner] = Lost(owner=owner, reason=f"{driver} does not answer")
            elif offer.incarnation != incarnation:
                owners[owner] = Lost(owner=owner, reason=f"{driver} began a new life")
            elif task.id not in offer.tasks and task.id not in self._given:
                key = (task.id, task.lease.token)
                missing[key] = self._missing.get(key, now)
                if now - missing[key] > GIVEN_SECONDS and self._seen[driver] > missing[key]:
                    dropped.append(
                        Lost(owner=owner, id=task.id, loss=False, reason=f"{driver} does not have it")
                    )
        self._missing = missing
        return (*owners.values(), *dropped)
