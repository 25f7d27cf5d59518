"""A thread that runs operations on one connection: the writer in groups of one commit, a reader one by one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import apsw

from infra.sqlite.failures import DatabaseFailed, translate
from nerv.errors import Busy, ErrorCode, ErrorInfo

R = TypeVar("R")
Operation = Callable[[apsw.Connection], R]

MAX_GROUP = 512
"""Operations per transaction."""
MAX_GROUP_SECONDS = 0.002
"""A group takes no more operations after this long: nobody waits behind a long row of others."""
FULL_RETRY_SECONDS = 0.05
CLOSE_SECONDS = 10.0


class WorkerStatistics(NamedTuple):
    """``waiting`` now; totals since the start. ``commit_seconds`` is the time spent in COMMIT (with its fsync)."""

    waiting: int
    capacity: int
    operations: int
    groups: int
    refused: int
    largest_group: int
    commit_seconds: float


class _Job(NamedTuple):
    operation: Operation[Any]
    future: asyncio.Future[Any]


class _Outcome(NamedTuple):
    future: asyncio.Future[Any]
    result: Any
    error: BaseException | None


class Worker:
    """Runs operations on its own thread, in order. At most ``capacity`` wait; more are refused with Busy.

    ``grouped``: operations share one transaction, and their results go out only after its COMMIT; one that fails
    undoes itself alone. An operation may be run twice, the first time undone: it may touch nothing but the
    database. While one group is being synced to the disk the next one gathers: groups grow with the load, and a
    single operation waits for nobody.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        path: Path,
        *,
        name: str,
        grouped: bool,
        capacity: int,
        idle: Callable[[apsw.Connection], None] | None = None,
    ) -> None:
        self._connection = connection
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._grouped = grouped
        self._capacity = capacity
        self._idle = idle
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition(threading.Lock())
        self._closing = False
        self._stopped = asyncio.Event()
        self._operations = self._groups = self._refused = self._largest = 0
        self._commit_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def statistics(self) -> WorkerStatistics:
        return WorkerStatistics(
            waiting=len(self._jobs),
            capacity=self._capacity,
            operations=self._operations,
            groups=self._groups,
            refused=self._refused,
            largest_group=self._largest,
            commit_seconds=self._commit_seconds,
        )

    def submit(self, operation: Operation[R]) -> asyncio.Future[R]:
        """The future of the operation's result. Raises :class:`Busy` when too many wait."""
        if self._closing:
            raise DatabaseFailed(ErrorInfo(code=ErrorCode.STOPPING, reason=f"{self._path} is being closed"))
        if len(self._jobs) >= self._capacity:
            self._refused += 1
            raise Busy(
                ErrorInfo(
                    code=ErrorCode.BUSY,
                    reason=f"{self._capacity} operations wait for {self._path.name} already",
                    retry_after=FULL_RETRY_SECONDS,
                )
            )
        future: asyncio.Future[R] = self._loop.create_future()
        with self._wake:
            self._jobs.append(_Job(operation, future))
            self._wake.notify()
        return future

    async def close(self) -> None:
        """Finish what waits, then end the thread and close the connection."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        async with asyncio.timeout(CLOSE_SECONDS):
            await self._stopped.wait()
        self._thread.join(CLOSE_SECONDS)

    # -- on the thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._wait():
                outcomes = self._run_group() if self._grouped else self._run_one()
                self._loop.call_soon_threadsafe(_deliver, outcomes)
                if self._idle is not None:
                    self._idle(self._connection)
        finally:
            self._connection.close()
            self._loop.call_soon_threadsafe(self._stopped.set)

    def _wait(self) -> bool:
        """True when there is work; False when there is none and none will come."""
        with self._wake:
            while not self._jobs:
                if self._closing:
                    return False
                self._wake.wait()
        return True

    def _run_one(self) -> list[_Outcome]:
        job = self._jobs.popleft()
        self._operations += 1
        return [self._perform(job)]

    def _run_group(self) -> list[_Outcome]:
        """One transaction. Savepoints cost two statements for each operation, so that they are used only where an
        operation failed after it had written something: then the group is done once more, with them."""
        jobs: list[_Job] = []
        outcomes = self._try_group(jobs, careful=False)
        if outcomes is None:
            outcomes = self._try_group(jobs, careful=True) or []
        self._operations += len(outcomes)
        self._groups += 1
        self._largest = max(self._largest, len(outcomes))
        return outcomes

    def _try_group(self, jobs: list[_Job], *, careful: bool) -> list[_Outcome] | None:
        """Take jobs from the line (not ``careful``), or do those in ``jobs`` again. None: do them again."""
        outcomes: list[_Outcome] = []
        connection, execute = self._connection, self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            until = time.monotonic() + MAX_GROUP_SECONDS
            while self._jobs if not careful else len(outcomes) < len(jobs):
                if not careful:
                    jobs.append(self._jobs.popleft())
                else:
                    execute("SAVEPOINT operation")
                before = connection.total_changes()
                outcome = self._perform(jobs[len(outcomes)])
                outcomes.append(outcome)
                if outcome.error is not None:
                    # A full disk or an I/O error may have ended the whole transaction by itself.
                    if not connection.in_transaction:
                        raise outcome.error
                    if careful:
                        execute("ROLLBACK TO operation")
                    elif connection.total_changes() != before:
                        execute("ROLLBACK")
                        return None
                if careful:
                    execute("RELEASE operation")
                elif len(jobs) >= MAX_GROUP or time.monotonic() >= until:
                    break
            began = time.perf_counter()
            execute("COMMIT")
            self._commit_seconds += time.perf_counter() - began
        except Exception as error:  # noqa: BLE001 - goes to everybody in the group: nothing of it was stored
            told = translate(error, self._path) if isinstance(error, apsw.Error) else error
            if connection.in_transaction:
                execute("ROLLBACK")
            if not jobs:
                jobs.append(self._jobs.popleft())
            return [_Outcome(job.future, None, told) for job in jobs]
        return outcomes

    def _perform(self, job: _Job) -> _Outcome:
        try:
            return _Outcome(job.future, job.operation(self._connection), None)
        except apsw.Error as error:
            return _Outcome(job.future, None, translate(error, self._path))
        except Exception as error:  # noqa: BLE001 - the caller gets it, from its future
            return _Outcome(job.future, None, error)


def _deliver(outcomes: list[_Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():  # its caller was cancelled; the operation was done all the same
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
