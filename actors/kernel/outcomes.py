"""From an attempt's report to the task's settlement."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from kernel.breakers import BreakerBoard
from kernel.messages import QUEUE, AttemptReport, TaskGet, TaskSettle
from kernel.retry import decide
from kernel.tasks import LeaseToken, Task, TaskError, TaskId, TaskState
from nerv.bus.peer_socket import Peer
from nerv.errors import NervError, invalid

QUEUE_SECONDS = 30.0


class Outcomes:
    """Applies the rules of `kernel.retry`, settles at the queue, and then tells the breakers."""

    def __init__(
        self,
        peer: Peer,
        breakers: BreakerBoard,
        *,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._peer = peer
        self._breakers = breakers
        self._clock = clock
        self._jitter = jitter

    async def report(self, message: AttemptReport) -> Task:
        """The task as it is now; raises what the queue refuses (``stale_lease``: the report is void)."""
        if (message.reply is None) is (message.error is None):
            raise NervError(
                invalid(
                    "an attempt ends with a reply or with an error", field="reply", fix="give one of both"
                )
            )
        if message.error is not None:
            return await self.failed(message.id, message.token, message.driver, message.error)
        done = TaskSettle(id=message.id, token=message.token, state=TaskState.DONE, reply=message.reply)
        task = await self._settle(done)
        self._breakers.succeeded(task, message.driver)
        return task

    async def failed(self, task_id: TaskId, token: LeaseToken, driver: str, error: TaskError) -> Task:
        before = await self._peer.request(QUEUE, TaskGet(id=task_id), timeout=QUEUE_SECONDS)
        now = self._clock()
        decision = decide(before.task, error, now=now, jitter=self._jitter())
        task = await self._settle(decision.settle(before.task, token))
        self._breakers.failed(task, driver, error, decision.rule, now=now)
        return task

    async def _settle(self, command: TaskSettle) -> Task:
        view = await self._peer.request(QUEUE, command, timeout=QUEUE_SECONDS)
        return view.task
