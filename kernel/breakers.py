"""All breakers of a cluster: one for each provider's account, one for each driver, fed by attempts' outcomes."""

from __future__ import annotations

from kernel import breaker as rules
from kernel.breaker import Breaker, BreakerPolicy, BreakerState
from kernel.dispatch import account_key
from kernel.retry import FailureClass, FailureRule
from kernel.tasks import Task, TaskError

SEVERITY = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


class BreakerBoard:
    """Keeps only breakers that have something to say; one that is not here is closed and without failures."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._accounts: dict[str, Breaker] = {}
        self._drivers: dict[str, Breaker] = {}

    def accounts(self, *, now: float) -> dict[str, Breaker]:
        return self._as_of(self._accounts, now)

    def drivers(self, *, now: float) -> dict[str, Breaker]:
        return self._as_of(self._drivers, now)

    def of_provider(self, provider: str, *, now: float) -> BreakerState:
        """The worst state among the provider's accounts."""
        states = [
            breaker.state
            for key, breaker in self.accounts(now=now).items()
            if key.rpartition("/")[0] == provider
        ]
        return max(states, key=SEVERITY.__getitem__, default=BreakerState.CLOSED)

    def started(self, task: Task, driver: str, *, now: float) -> None:
        for table, key in ((self._accounts, account_key(task)), (self._drivers, driver)):
            if key in table:
                state = rules.at(table[key], self._policy, now=now)
                table[key] = rules.started(state, self._policy, work=task.id, now=now)

    def succeeded(self, task: Task, driver: str) -> None:
        for table, key in ((self._accounts, account_key(task)), (self._drivers, driver)):
            if key in table:
                self._put(table, key, rules.succeeded(table[key], work=task.id))

    def failed(self, task: Task, driver: str, error: TaskError, rule: FailureRule, *, now: float) -> None:
        """Counted against whoever is to blame; to the other the attempt says nothing."""
        accounts, drivers = self._accounts, self._drivers
        if rule.blame is FailureClass.PROVIDER:
            self._count(accounts, account_key(task), task, error, rule, now)
            self._drop(drivers, driver, task.id)
        elif rule.blame is FailureClass.INFRASTRUCTURE:
            self._count(drivers, driver, task, error, rule, now)
            self._drop(accounts, account_key(task), task.id)
        else:
            self.dropped(task.id)

    def dropped(self, work: str) -> None:
        """A task was cancelled, or its worker lost: if it was a probe, another may be."""
        for table in (self._accounts, self._drivers):
            for key in list(table):
                self._drop(table, key, work)

    def forget_driver(self, driver: str) -> None:
        """A new life of a driver starts with a clean record: process death is for the supervisor to count."""
        self._drivers.pop(driver, None)

    def _count(
        self,
        table: dict[str, Breaker],
        key: str,
        task: Task,
        error: TaskError,
        rule: FailureRule,
        now: float,
    ) -> None:
        state = rules.at(table.get(key, Breaker()), self._policy, now=now)
        table[key] = rules.failed(
            state,
            self._policy,
            work=task.id,
            reason=f"{error.kind}: {error.reason}",
            now=now,
            blocks=rule.blocks,
            retry_after=error.retry_after,
        )

    def _drop(self, table: dict[str, Breaker], key: str, work: str) -> None:
        if key in table:
            table[key] = rules.dropped(table[key], work=work)

    def _put(self, table: dict[str, Breaker], key: str, breaker: Breaker) -> None:
        if breaker == Breaker():
            del table[key]
        else:
            table[key] = breaker

    def _as_of(self, table: dict[str, Breaker], now: float) -> dict[str, Breaker]:
        for key, breaker in table.items():
            table[key] = rules.at(breaker, self._policy, now=now)
        return dict(table)
