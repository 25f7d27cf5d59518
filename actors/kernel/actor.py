"""The kernel process: offers in, leases out, reports settled, dead workers' tasks given back."""

from __future__ import annotations

import asyncio
import time

from actors.kernel.outcomes import Outcomes
from actors.kernel.providers import ProviderDesk
from actors.kernel.settings import KernelSettings
from drivers.recipes import Catalog
from kernel.breakers import SEVERITY, BreakerBoard
from kernel.dispatch import LeaseRequest, plan
from kernel.messages import (
    QUEUE,
    AttemptCancel,
    AttemptReport,
    AttemptRun,
    DriverOffer,
    ProviderAdd,
    ProviderAdded,
    ProviderList,
    ProviderPage,
    ProviderRemove,
    TaskChanged,
    TaskLease,
    TaskList,
    TaskRelease,
    TaskView,
)
from kernel.tasks import LEASABLE_STATES, Task, TaskError, TaskId, TaskState, TroubleKind
from kernel.workforce import Lost, Workforce
from nerv.actor import Actor, Context, handles
from nerv.bus.subscription import Event
from nerv.errors import ErrorCode, NervError, RemoteError
from nerv.messages import ActorChanged, ActorState, Ok, PeerChanged
from nerv.settings import decode_settings

QUEUE_SECONDS = 5.0
HAND_OVER_SECONDS = 10.0
RUNNING_LIMIT = 1_000
ALIVE = frozenset({ActorState.STARTING, ActorState.READY, ActorState.STOPPING})
NOT_THE_TASKS_FAULT = frozenset({ErrorCode.BUSY, ErrorCode.STOPPING, ErrorCode.FENCED, ErrorCode.PEER_LOST})
"""Refusals of `attempt.run` that say nothing about the task: it goes back and nothing is counted."""


class KernelActor(Actor):
    async def start(self) -> None:
        self._settings = decode_settings(self.settings, KernelSettings, actor=self.name)
        self._breakers = BreakerBoard(self._settings.breaker)
        self._outcomes = Outcomes(self.peer, self._breakers)
        self._workforce = Workforce(now=time.monotonic())
        self._wake = asyncio.Event()
        catalog = Catalog(user=self.instance.recipes)
        self._providers = ProviderDesk(
            self.peer, catalog, self._workforce, self._breakers, seconds=self._settings.discover_seconds
        )
        self.background(self._listen(), name="listen")
        self.background(self._dispatch(), name="dispatch")
        self.background(self._reconcile(), name="reconcile")

    def gauges(self) -> dict[str, float]:
        now = time.time()
        capacities = self._workforce.capacities(now=time.monotonic())
        gauges = {
            "drivers": float(len(capacities)),
            "pages_free": float(sum(capacity.free for capacity in capacities)),
            "tasks_in_hand": float(sum(capacity.in_hand for capacity in capacities)),
        }
        for scope, table in (
            ("account", self._breakers.accounts(now=now)),
            ("driver", self._breakers.drivers(now=now)),
        ):
            for key, breaker in table.items():
                gauges[f"breaker_state{{scope={scope},key={key}}}"] = float(SEVERITY[breaker.state])
        return gauges

    # -- drivers ------------------------------------------------------------------------------------------

    @handles(DriverOffer, ack="on_reply")
    async def offer(self, message: DriverOffer, context: Context) -> Ok:
        lost = self._workforce.offer(message, now=time.monotonic())
        if lost is not None:
            self._take_back(lost)
        self._wake.set()
        return Ok()

    @handles(AttemptReport)
    async def report(self, message: AttemptReport, context: Context) -> TaskView:
        task = await self._outcomes.report(message)
        self._workforce.ended(message.id)
        self.log.info("attempt settled", task=task.id, state=task.state, driver=message.driver)
        self._wake.set()
        return TaskView(task=task)

    # -- providers ----------------------------------------------------------------------------------------

    @handles(ProviderList)
    async def list_providers(self, message: ProviderList, context: Context) -> ProviderPage:
        return await self._providers.page()

    @handles(ProviderAdd)
    async def add_provider(self, message: ProviderAdd, context: Context) -> ProviderAdded:
        return await self._providers.add(message, deadline=context.deadline)

    @handles(ProviderRemove)
    async def remove_provider(self, message: ProviderRemove, context: Context) -> Ok:
        await self._providers.remove(message.name)
        return Ok()

    # -- giving work out ----------------------------------------------------------------------------------

    async def _dispatch(self) -> None:
        """On each hint, and once a second in any case: ask for what the free pages can take."""
        while True:
            self._wake.clear()
            now = time.time()
            requests = plan(
                self._workforce.capacities(now=time.monotonic()),
                self._breakers.accounts(now=now),
                self._breakers.drivers(now=now),
            )
            for request in requests:
                await self._lease(request)
            try:
                async with asyncio.timeout(self._settings.dispatch_seconds):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _lease(self, request: LeaseRequest) -> None:
        command = TaskLease(
            owner=request.owner,
            limit=request.limit,
            seconds=self._settings.lease_seconds,
            without_keys=request.without_keys,
            only_keys=request.only_keys,
        )
        try:
            leases = await self.peer.request(QUEUE, command, timeout=QUEUE_SECONDS)
        except NervError as error:
            # Whatever the queue may have leased all the same is found by `_reconcile`.
            self.log.warning("no leases", owner=request.owner, error=str(error))
            return
        for task in leases.tasks:
            self._workforce.gave(request.driver, task.id, now=time.monotonic())
            self._breakers.started(task, request.driver, now=time.time())
            self.background(self._hand_over(task, request), name=f"hand over {task.id}")

    async def _hand_over(self, task: Task, request: LeaseRequest) -> None:
        run = AttemptRun(task=task, lease_seconds=self._settings.lease_seconds)
        try:
            await self.peer.request(
                request.driver, run, timeout=HAND_OVER_SECONDS, correlation=task.correlation or None
            )
        except RemoteError as error:
            if error.code in NOT_THE_TASKS_FAULT:
                await self._give_back(task, request, str(error))
            else:
                await self._refused(task, request, error)
        except NervError as error:
            await self._give_back(task, request, str(error))
        else:
            self.log.info("attempt begun", task=task.id, attempt=task.attempt, driver=request.driver)

    async def _give_back(self, task: Task, request: LeaseRequest, reason: str) -> None:
        self._workforce.full(request.driver)
        self._workforce.ended(task.id)
        self._breakers.dropped(task.id)
        self.log.info("attempt given back", task=task.id, driver=request.driver, reason=reason)
        await self._release(Lost(owner=request.owner, id=task.id, loss=False, reason=reason))

    async def _refused(self, task: Task, request: LeaseRequest, error: RemoteError) -> None:
        """The driver cannot work on this task (a broken recipe, say): that is a failed attempt."""
        self._workforce.ended(task.id)
        assert task.lease is not None
        trouble = TaskError(kind=TroubleKind.INTERNAL, reason=f"{request.driver}: {error}", stage=task.stage)
        self.log.warning("attempt refused", task=task.id, driver=request.driver, error=str(error))
        try:
            await self._outcomes.failed(task.id, task.lease.token, request.driver, trouble)
        except NervError as unsettled:
            self.log.warning("not settled", task=task.id, error=str(unsettled))  # its lease runs out

    # -- taking it back -----------------------------------------------------------------------------------

    async def _reconcile(self) -> None:
        """Events can be lost; the queue's leases and the drivers' offers cannot."""
        while True:
            await asyncio.sleep(self._settings.reconcile_seconds)
            try:
                page = await self.peer.request(
                    QUEUE, TaskList(states=(TaskState.RUNNING,), limit=RUNNING_LIMIT), timeout=QUEUE_SECONDS
                )
            except NervError as error:
                self.log.warning("leases not compared", error=str(error))
                continue
            for lost in self._workforce.lost(page.tasks, now=time.monotonic()):
                await self._release(lost)

    def _take_back(self, lost: Lost) -> None:
        self._breakers.forget_driver(lost.owner.rpartition("@")[0])
        self.background(self._release(lost), name=f"release {lost.owner}")

    async def _release(self, lost: Lost) -> None:
        command = TaskRelease(owner=lost.owner, id=lost.id, loss=lost.loss, reason=lost.reason)
        try:
            released = await self.peer.request(QUEUE, command, timeout=QUEUE_SECONDS)
        except NervError as error:
            self.log.warning("not released", owner=lost.owner, error=str(error))  # `_reconcile` tries again
            return
        for task_id in released.ids:
            self._workforce.ended(task_id)
            self._breakers.dropped(task_id)
        if released.ids:
            self.log.warning("released", owner=lost.owner, tasks=list(released.ids), reason=lost.reason)
            self._wake.set()

    # -- events -------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        async with self.peer.subscribe("task.", "peer.", "actor.") as events:
            async for event in events:
                self._heed(event)

    def _heed(self, event: Event) -> None:
        match event.message:
            case TaskChanged(task=task) if task.state in LEASABLE_STATES:
                self._wake.set()
            case TaskChanged(task=task) if task.state is TaskState.CANCELLED:
                self._breakers.dropped(task.id)
                self._stop_attempt(task.id)
            case PeerChanged(name=name, incarnation=incarnation, up=True):
                self._gone(name, "its name has a new life", unless=incarnation)
            case PeerChanged(name=name, incarnation=incarnation, up=False, reason=reason):
                if f"{name}@{incarnation}" in {f"{o.driver}@{o.incarnation}" for o in self._workforce.offers}:
                    self._gone(name, reason or "it left the bus")
            case ActorChanged(status=status) if status.state not in ALIVE:
                self._gone(status.name, status.last_exit or f"it is {status.state}")
            case _:
                pass

    def _gone(self, name: str, reason: str, unless: str | None = None) -> None:
        lost = self._workforce.gone(name, reason=f"{name}: {reason}", unless=unless)
        if lost is not None:
            self._take_back(lost)

    def _stop_attempt(self, task_id: TaskId) -> None:
        driver = self._workforce.holder(task_id)
        if driver is not None:
            self._workforce.ended(task_id)
            self.background(self._send_cancel(driver, task_id), name=f"cancel {task_id}")

    async def _send_cancel(self, driver: str, task_id: TaskId) -> None:
        try:
            await self.peer.request(
                driver, AttemptCancel(id=task_id, reason="cancelled"), timeout=HAND_OVER_SECONDS
            )
        except NervError as error:
            self.log.warning("not cancelled at its page", task=task_id, driver=driver, error=str(error))
