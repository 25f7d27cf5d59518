"""Queue: durable submit → lease → done over the bus against huey on SQLite, and lease time against the backlog.

Both sides sync to the disk at every acknowledgement (synchronous=FULL). huey is called in its cheapest way: one
process, no polling, no other process at its file. NERV's figures have two processes and two sockets in them.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import uvloop
from huey import SqliteHuey

from infra.tasks import LeaseFilter, SqliteTaskStore
from infra.tasks.ids import new_task_id
from infra.tasks.places import Place
from infra.tasks.rows import INSERT, values_to_insert
from kernel.messages import (
    QUEUE,
    QueueStats,
    TaskLease,
    TaskSettle,
    TaskSubmit,
)
from kernel.tasks import Finish, ReplySource, ReplySummary, Task, TaskKind, TaskState
from nerv.client import Client
from nerv.errors import NervError
from nerv.instance import Instance

TASKS = 4_000
IN_FLIGHT = 256
LEASE_LIMIT = 16
"""Tasks in one lease: what a kernel asks for when this many pages are free."""
SINGLE = 300
PROMPT = "What is the capital of France, and since when? Answer in one sentence. " * 3
ROUNDS = 3
SMALL, LARGE = 1_000, 1_000_000
LEASES = 200
READY_SECONDS = 20.0
RECIPE = 'address = "http://127.0.0.1:9/"\n[locators]\ninput = [{ path = ["textarea"] }]\n'
REPLY = ReplySummary(attempt=1, source=ReplySource.WIRE, finish=Finish.COMPLETE, length=1, sha256="0" * 64)


# -- NERV -------------------------------------------------------------------------------------------------


@contextmanager
def actors(home: Path) -> Iterator[Instance]:
    """The broker and the queue as processes of their own."""
    instance = Instance.locate(environ={"NERV_HOME": str(home)})
    instance.create()
    (instance.recipes / "bench.toml").write_text(RECIPE)
    running = []
    try:
        for name, run in (("bus", "nerv.bus.server:BusActor"), ("queue", "actors.queue:QueueActor")):
            environ = {
                **os.environ,
                "NERV_HOME": str(home),
                "NERV_ACTOR": name,
                "NERV_INSTANCE": instance.name,
            }
            running.append(
                subprocess.Popen(
                    [sys.executable, "-m", "nerv.child", run],
                    env=environ,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        yield instance
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            process.wait(READY_SECONDS)


async def ready(client: Client) -> None:
    until = time.monotonic() + READY_SECONDS
    while True:
        try:
            await client.request(QUEUE, QueueStats(), timeout=1.0)
        except NervError:
            if time.monotonic() > until:
                raise
        else:
            return


async def pooled(number: int, width: int, one: Callable[[int], Awaitable[None]]) -> float:
    """Seconds for ``number`` calls with ``width`` in flight."""
    numbers = iter(range(number))

    async def worker() -> None:
        for i in numbers:
            await one(i)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(width):
            group.create_task(worker())
    return time.perf_counter() - began


async def submit(client: Client) -> None:
    await client.request(QUEUE, TaskSubmit(provider="bench", prompt=PROMPT, timeout=86_400.0))


async def drain(client: Client, number: int) -> float:
    """Seconds until ``number`` tasks are leased, in handfuls, and each is settled as DONE."""

    async def settle(task: Task) -> None:
        assert task.lease is not None
        done = TaskSettle(id=task.id, token=task.lease.token, state=TaskState.DONE, reply=REPLY)
        await client.request(QUEUE, done)

    async def handful(i: int) -> None:
        leases = await client.request(QUEUE, TaskLease(owner="bench@1", limit=LEASE_LIMIT, seconds=600.0))
        await asyncio.gather(*(settle(task) for task in leases.tasks))

    return await pooled(number // LEASE_LIMIT, IN_FLIGHT // LEASE_LIMIT, handful)


async def nerv_cycles(home: Path) -> dict[str, float]:
    with actors(home) as instance:
        async with Client(instance, connect_timeout=READY_SECONDS) as client:
            await ready(client)

            async def one(i: int) -> None:
                await submit(client)

            submitting = await pooled(TASKS, IN_FLIGHT, one)
            draining = await drain(client, TASKS)
            counts = await client.request(QUEUE, QueueStats())
            assert counts.states["DONE"] == TASKS, counts
            times = []
            for i in range(SINGLE):
                began = time.perf_counter()
                await one(i)
                times.append(time.perf_counter() - began)
    times.sort()
    return {
        "submits_per_second": TASKS / submitting,
        "cycles_per_second": TASKS / (submitting + draining),
        "single_submit_median_ms": 1e3 * statistics.median(times),
        "single_submit_p99_ms": 1e3 * times[int(0.99 * len(times))],
    }


# -- huey -------------------------------------------------------------------------------------------------


def huey_cycles(folder: Path, number: int = TASKS // 4) -> dict[str, float]:
    """The same three durable steps: enqueue, dequeue, store the result."""
    queue = SqliteHuey("bench", filename=str(folder / "huey.db"), fsync=True)

    @queue.task()  # type: ignore[untyped-decorator]
    def work(prompt: str) -> int:
        return len(prompt)

    began = time.perf_counter()
    for _ in range(number):
        work(PROMPT)
    enqueued = time.perf_counter()
    done = 0
    while (task := queue.dequeue()) is not None:
        queue.execute(task)
        done += 1
    ended = time.perf_counter()
    assert done == number
    assert queue.result_count() == number
    queue.storage.close()
    return {"submits_per_second": number / (enqueued - began), "cycles_per_second": number / (ended - began)}


# -- lease time against the backlog -----------------------------------------------------------------------


def backlog(number: int) -> Callable[[apsw.Connection], None]:
    now = time.time()

    def rows() -> Iterator[tuple[Any, ...]]:
        for i in range(number):
            task = Task(
                id=new_task_id(),
                kind=TaskKind.CHAT,
                provider=f"p{i % 5}",
                prompt="",
                priority=i % 3,
                state=TaskState.PENDING,
                deadline=now + 1e6,
                created_at=now,
                updated_at=now,
            )
            yield values_to_insert(task, place=Place.READY, unmet=0, excerpt=PROMPT[:200], envelope=None)

    def operation(connection: apsw.Connection) -> None:
        connection.executemany(INSERT, rows())
        connection.execute("INSERT INTO task_contents SELECT seq, excerpt, NULL FROM tasks")

    return operation


async def lease_times(folder: Path) -> dict[str, float]:
    """Medians of one lease, the two sizes in turn; ``work``: without the COMMIT, whose fsync costs the same."""
    stores = {}
    for size in (SMALL, LARGE):
        stores[size] = await SqliteTaskStore.open(folder / f"{size}.db")
        await stores[size]._database.write(backlog(size))
    whole: dict[int, list[float]] = {SMALL: [], LARGE: []}
    work: dict[int, list[float]] = {SMALL: [], LARGE: []}
    for _ in range(LEASES):
        for size, store in stores.items():
            synced = store.statistics().writer.commit_seconds
            began = time.perf_counter()
            leased = await store.lease(
                owner="b@1", limit=1, seconds=600.0, allowed=LeaseFilter(), now=time.time()
            )
            seconds = time.perf_counter() - began
            assert len(leased.result) == 1
            whole[size].append(seconds)
            work[size].append(seconds - (store.statistics().writer.commit_seconds - synced))
    for store in stores.values():
        await store.close()
    return {
        "small_ms": 1e3 * statistics.median(whole[SMALL]),
        "large_ms": 1e3 * statistics.median(whole[LARGE]),
        "small_work_ms": 1e3 * statistics.median(work[SMALL]),
        "large_work_ms": 1e3 * statistics.median(work[LARGE]),
    }


async def measure(folder: Path) -> dict[str, Any]:
    """Rounds of NERV and huey in turn; of each the median round by cycles."""
    ours, theirs = [], []
    for i in range(ROUNDS):
        home = folder / str(i)
        home.mkdir()
        ours.append(await nerv_cycles(home))
        theirs.append(huey_cycles(home))
    nerv = sorted(ours, key=lambda found: found["cycles_per_second"])[ROUNDS // 2]
    huey = sorted(theirs, key=lambda found: found["cycles_per_second"])[ROUNDS // 2]
    leases = await lease_times(folder)
    return {
        "tasks": TASKS,
        "in_flight": IN_FLIGHT,
        "tasks_in_one_lease": LEASE_LIMIT,
        "prompt_bytes": len(PROMPT.encode()),
        "rounds": ROUNDS,
        "sqlite": apsw.sqlite_lib_version(),
        "nerv": nerv,
        "huey": huey,
        "ratio_cycles_to_huey": nerv["cycles_per_second"] / huey["cycles_per_second"],
        "ratio_submits_to_huey": nerv["submits_per_second"] / huey["submits_per_second"],
        "lease": {"small_backlog": SMALL, "large_backlog": LARGE, **leases},
        "ratio_lease_large_to_small": leases["large_ms"] / leases["small_ms"],
        "ratio_lease_work_large_to_small": leases["large_work_ms"] / leases["small_work_ms"],
    }


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="nv-"))
    try:
        print(json.dumps(uvloop.run(measure(folder))))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
