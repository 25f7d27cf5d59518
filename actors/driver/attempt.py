"""One attempt at one chat task: lease kept alive, stages made durable, deltas stored, the reply sealed, a report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from actors.driver.outbox import DeltaOutbox
from drivers.chat import Resume, run_chat
from drivers.recipes import Recipe
from drivers.session import PageLease
from drivers.trouble import Trouble
from kernel.messages import (
    KERNEL,
    QUEUE,
    STORE,
    AttemptReport,
    Delta,
    ReplyAppend,
    ReplyRead,
    ReplySeal,
    TaskRenew,
    TaskStage,
)
from kernel.tasks import LeaseToken, ReplySummary, Stage, Task, TaskError, TroubleKind
from nerv.bus.peer_socket import Peer
from nerv.errors import ErrorCode, NervError
from nerv.logs import BoundLog

STORE_SECONDS = 60.0
"""How long one message to the queue or the store may take, restarts of theirs included."""
REPORT_SECONDS = 120.0

T = TypeVar("T")
OpenPage = Callable[[Task, Recipe], AbstractAsyncContextManager[PageLease]]


class LeaseLost(Exception):
    """The task is no longer ours: cancelled, taken over, or given back. Whatever we have is void."""


class Attempt:
    """Works on ``task`` with a page from ``open_page`` and reports to the kernel. Also the flow's `Progress`."""

    def __init__(
        self,
        peer: Peer,
        task: Task,
        *,
        lease_seconds: float,
        recipe: Recipe,
        open_page: OpenPage,
        log: BoundLog,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if task.lease is None:
            raise ValueError(f"task {task.id} carries no lease")
        self.task = task
        self._token: LeaseToken = task.lease.token
        self._peer = peer
        self._lease_seconds = lease_seconds
        self._recipe = recipe
        self._open_page = open_page
        self._log = log
        self._clock = clock
        self._stage = task.stage
        self._conversation = task.conversation
        self._outbox = DeltaOutbox(self._append)

    # -- Progress, as the chat flow sees it -----------------------------------------------------------

    async def stage(self, stage: Stage, conversation: str | None = None) -> None:
        """Durable at the queue when this returns."""
        if stage.rank < self._stage.rank:
            return  # a harvest begins where an earlier attempt stopped
        if stage is self._stage and conversation in (None, self._conversation):
            return
        await self._owned(
            self._peer.request(
                QUEUE,
                TaskStage(id=self.task.id, token=self._token, stage=stage, conversation=conversation),
                timeout=STORE_SECONDS,
            )
        )
        self._stage = stage
        self._conversation = conversation or self._conversation

    async def delta(self, text: str, offset: int, rewrite: bool) -> None:
        await self._outbox.put(text, offset, rewrite)

    # -- the attempt ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ends when the kernel has settled the attempt; raises :class:`LeaseLost` when it is not ours."""
        lease_lost: LeaseLost | None = None
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._renew(), name=f"renew {self.task.id}")
                await self._report(await self._work())
                renewing.cancel()
        except* LeaseLost as group_of_lost:
            # Raised below: what is raised here would leave in a group again.
            lease_lost = _first(group_of_lost, LeaseLost)
        if lease_lost is not None:
            raise lease_lost

    async def _work(self) -> ReplySummary | TaskError:
        """The outcome, with its deltas stored. An error of the store or the queue is an outcome too."""
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._outbox.run(), name=f"deltas {self.task.id}")
                summary = await self._sealed_before() or await self._chat()
                sending.cancel()
                return summary
        except* LeaseLost:
            raise
        except* Trouble as troubles:
            outcome = _first(troubles, Trouble).error
        except* NervError as errors:
            reason = str(_first(errors, NervError))
            outcome = TaskError(kind=TroubleKind.INTERNAL, reason=reason, stage=self._stage)
        except* Exception as unforeseen:  # noqa: BLE001
            # Whatever page code raises must end as an outcome of this task, and not end the other pages' work.
            self._log.exception("attempt failed", task=self.task.id, attempt=self.task.attempt)
            reason = repr(_first(unforeseen, Exception))
            outcome = TaskError(kind=TroubleKind.INTERNAL, reason=reason, stage=self._stage)
        return outcome

    async def _sealed_before(self) -> ReplySummary | None:
        """The reply that an earlier attempt sealed before it could report."""
        if self.task.attempt <= 1:
            return None
        view = await self._peer.request(STORE, ReplyRead(task=self.task.id), timeout=STORE_SECONDS)
        return view.sealed

    async def _chat(self) -> ReplySummary:
        task = self.task
        resume = None
        if task.stage.rank >= Stage.SUBMITTED.rank:
            resume = Resume(stage=task.stage, conversation=task.conversation)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + max(0.0, task.deadline - self._clock())
        async with self._open_page(task, self._recipe) as page:
            result = await run_chat(page, self._recipe, task.prompt, self, resume=resume, deadline=deadline)
        await self._outbox.finish_as(result.text)
        await self._outbox.drain()
        sealed = await self._peer.request(
            STORE,
            ReplySeal(
                task=task.id,
                attempt=task.attempt,
                text=result.text,
                source=result.source,
                finish=result.finish,
                conversation=result.conversation,
                signs=result.signs,
            ),
            timeout=STORE_SECONDS,
        )
        return sealed.reply

    async def _report(self, outcome: ReplySummary | TaskError) -> None:
        await self._owned(
            self._peer.request(
                KERNEL,
                AttemptReport(
                    id=self.task.id,
                    token=self._token,
                    driver=self._peer.name,
                    reply=outcome if isinstance(outcome, ReplySummary) else None,
                    error=outcome if isinstance(outcome, TaskError) else None,
                ),
                timeout=REPORT_SECONDS,
            )
        )

    async def _append(self, deltas: tuple[Delta, ...]) -> None:
        await self._peer.request(
            STORE,
            ReplyAppend(task=self.task.id, attempt=self.task.attempt, deltas=deltas),
            timeout=STORE_SECONDS,
        )

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            try:
                await self._owned(
                    self._peer.request(
                        QUEUE,
                        TaskRenew(id=self.task.id, token=self._token, seconds=self._lease_seconds),
                        timeout=self._lease_seconds,
                    )
                )
            except NervError:
                # The queue is away or slow. Our lease may run out; then the next stage or report is refused.
                continue

    async def _owned(self, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except NervError as error:
            if error.code in (ErrorCode.STALE_LEASE, ErrorCode.NOT_FOUND):
                raise LeaseLost(str(error)) from error
            raise


E = TypeVar("E", bound=BaseException)


def _first(group: BaseExceptionGroup[E], kind: type[E]) -> E:
    """The first leaf of a group that holds only ``kind``."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, kind)
    return error
