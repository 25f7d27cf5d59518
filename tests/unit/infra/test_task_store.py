"""The conformance suite of task stores: what any backend behind the port must do."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from msgspec.structs import replace

from infra.tasks import LeaseFilter, TaskStore
from infra.tasks.ids import new_task_id
from kernel.messages import TaskSettle
from kernel.tasks import (
    MAX_LOSSES,
    Finish,
    LeaseToken,
    ReplySource,
    ReplySummary,
    Stage,
    Task,
    TaskError,
    TaskId,
    TaskKind,
    TaskState,
    TroubleKind,
)
from nerv.errors import ErrorCode, NervError

NOW = 1_000.0
ANY = LeaseFilter()
_counter = itertools.count(1)


def a_task(**fields: Any) -> Task:
    base = Task(
        id=new_task_id(),
        kind=TaskKind.CHAT,
        provider="zai",
        prompt=f"prompt {next(_counter)}",
        state=TaskState.PENDING,
        deadline=NOW + 900.0,
        created_at=NOW,
        updated_at=NOW,
        created_by="test",
    )
    return replace(base, **fields)


async def submitted(store: TaskStore, **fields: Any) -> Task:
    return (await store.submit(a_task(**fields))).result[0]


async def lease(store: TaskStore, limit: int = 1, now: float = NOW, allowed: LeaseFilter = ANY) -> list[Task]:
    return list(
        (await store.lease(owner="driver-1@a", limit=limit, seconds=30, allowed=allowed, now=now)).result
    )


async def lease_one(store: TaskStore, now: float = NOW) -> tuple[Task, LeaseToken]:
    (task,) = await lease(store, now=now)
    assert task.lease is not None
    return task, task.lease.token


def done(task: Task, token: LeaseToken) -> TaskSettle:
    summary = ReplySummary(
        attempt=1, source=ReplySource.WIRE, finish=Finish.COMPLETE, length=2, sha256="0" * 64
    )
    return TaskSettle(id=task.id, token=token, state=TaskState.DONE, reply=summary)


def failed(task: Task, token: LeaseToken, state: TaskState, not_before: float = 0.0) -> TaskSettle:
    error = TaskError(kind=TroubleKind.NO_REPLY, reason="nothing came")
    return TaskSettle(id=task.id, token=token, state=state, error=error, not_before=not_before)


async def changes(store: TaskStore, task_id: TaskId) -> list[str]:
    return [event.change for event in await store.history(task_id)]


async def refused(code: ErrorCode, awaitable: Any) -> NervError:
    with pytest.raises(NervError) as caught:
        await awaitable
    assert caught.value.code is code
    return caught.value


async def test_what_was_submitted_can_be_read_again_whole(store: TaskStore) -> None:
    task = a_task(prompt="ä" * 5000, payload={"deep": [1, {"x": None}]}, conversation="http://x/c/1")
    await store.submit(task)
    assert await store.get(task.id) == task
    assert await store.get(TaskId(task.id[:8])) == task


async def test_the_way_of_a_task_is_its_history(store: TaskStore) -> None:
    await submitted(store)
    task, token = await lease_one(store)
    for stage in (Stage.PREPARED, Stage.TYPED, Stage.SUBMITTED, Stage.ACCEPTED):
        await store.stage(task.id, token, to=stage, conversation="c", now=NOW)
    ended = (await store.settle(done(task, token), now=NOW + 5)).result
    assert (ended.state, ended.lease, ended.finished_at) == (TaskState.DONE, None, NOW + 5)
    assert await changes(store, task.id) == [
        "→PENDING",
        "PENDING→RUNNING",
        "none→prepared",
        "prepared→typed",
        "typed→submitted",
        "submitted→accepted",
        "RUNNING→DONE",
    ]


async def test_the_same_envelope_makes_one_task(store: TaskStore) -> None:
    first = (await store.submit(a_task(), envelope="e-1")).result
    again = await store.submit(a_task(), envelope="e-1")
    assert again.result == (first[0], True)
    assert again.tasks == ()
    assert (await store.counts(now=NOW)).states["PENDING"] == 1


async def test_an_idempotency_key_returns_the_old_task_and_refuses_another_prompt(store: TaskStore) -> None:
    first = await submitted(store, idempotency_key="k", prompt="same")
    again = (await store.submit(a_task(idempotency_key="k", prompt="same"))).result
    assert (again[0].id, again[1]) == (first.id, True)
    error = await refused(ErrorCode.CONFLICT, store.submit(a_task(idempotency_key="k", prompt="other")))
    assert error.info.field == "idempotency_key"


async def test_leases_go_by_priority_then_age(store: TaskStore) -> None:
    order = [
        await submitted(store, priority=priority, provider=provider)
        for priority, provider in ((0, "zai"), (5, "b"), (5, "zai"), (-1, "a"), (0, "a"))
    ]
    leased = await lease(store, limit=5)
    assert [task.id for task in leased] == [order[i].id for i in (1, 2, 0, 4, 3)]
    assert [task.prompt for task in leased] == [order[i].prompt for i in (1, 2, 0, 4, 3)]


async def test_a_lease_can_leave_out_and_single_out_accounts(store: TaskStore) -> None:
    first = await submitted(store, provider="a", account="x")
    second = await submitted(store, provider="a", account="y")
    third = await submitted(store, provider="b")
    without = LeaseFilter(without_keys=frozenset({"a/x"}), without_providers=frozenset({"b"}))
    assert [task.id for task in await lease(store, 5, allowed=without)] == [second.id]
    only = LeaseFilter(only_keys=frozenset({"b/default"}))
    assert [task.id for task in await lease(store, 5, allowed=only)] == [third.id]
    assert [task.id for task in await lease(store, 5)] == [first.id]


async def test_where_tasks_take_turns_one_of_each_account_is_leased(store: TaskStore) -> None:
    turns = LeaseFilter(one_at_a_time=frozenset({"thread"}))
    for provider, account in (
        ("thread", "a"),
        ("thread", "a"),
        ("thread", "b"),
        ("free", "a"),
        ("free", "a"),
    ):
        await submitted(store, provider=provider, account=account)
    first = await lease(store, limit=10, allowed=turns)
    assert sorted((task.provider, task.account) for task in first) == [
        ("free", "a"),
        ("free", "a"),
        ("thread", "a"),
        ("thread", "b"),
    ]
    assert await lease(store, limit=10, allowed=turns) == []
    (held,) = [task for task in first if (task.provider, task.account) == ("thread", "a")]
    assert held.lease is not None
    await store.settle(done(held, held.lease.token), now=NOW)
    (next_one,) = await lease(store, limit=10, allowed=turns)
    assert (next_one.provider, next_one.account) == ("thread", "a")


async def test_a_stale_token_changes_nothing_and_is_audited(store: TaskStore) -> None:
    await submitted(store)
    task, old = await lease_one(store)
    await store.release("driver-1@a", task_id=None, loss=True, reason="killed", now=NOW + 1)
    again, new = await lease_one(store, now=NOW + 1)
    assert again.id == task.id
    assert old != new
    before = await store.get(task.id)
    await refused(ErrorCode.STALE_LEASE, store.settle(done(task, old), now=NOW + 2))
    await refused(
        ErrorCode.STALE_LEASE, store.stage(task.id, old, to=Stage.TYPED, conversation=None, now=NOW + 2)
    )
    await refused(ErrorCode.STALE_LEASE, store.renew(task.id, old, seconds=30, now=NOW + 2))
    assert await store.get(task.id) == before
    assert (await changes(store, task.id))[-3:] == ["stale:settle", "stale:stage", "stale:renew"]


async def test_settling_the_same_attempt_twice_the_same_way_is_one_settlement(store: TaskStore) -> None:
    await submitted(store)
    task, token = await lease_one(store)
    first = await store.settle(failed(task, token, TaskState.RETRY), now=NOW)
    second = await store.settle(failed(task, token, TaskState.RETRY), now=NOW + 1)
    assert first.result == second.result
    assert second.tasks == ()
    assert second.result.failures == 1
    await refused(ErrorCode.STALE_LEASE, store.settle(failed(task, token, TaskState.DEAD), now=NOW + 1))


async def test_a_delayed_task_waits_and_is_due_in_time(store: TaskStore) -> None:
    task = await submitted(store, not_before=NOW + 10)
    assert await lease(store) == []
    assert await lease(store, now=NOW + 9.9) == []
    assert [found.id for found in await lease(store, now=NOW + 10)] == [task.id]


async def test_one_task_of_a_concurrency_key_runs_at_a_time(store: TaskStore) -> None:
    first = await submitted(store, concurrency_key="k")
    second = await submitted(store, concurrency_key="k")
    urgent = await submitted(store, concurrency_key="k", priority=9)
    other = await submitted(store)
    leased = await lease(store, 10)
    assert {task.id for task in leased} == {urgent.id, other.id}
    assert await lease(store, 10) == []
    running = next(task for task in leased if task.id == urgent.id)
    assert running.lease is not None
    await store.settle(failed(running, running.lease.token, TaskState.RETRY, NOW + 50), now=NOW)
    for expected in (first, second):
        (found,) = await lease(store, 10)
        assert found.id == expected.id
        assert found.lease is not None
        await store.settle(done(found, found.lease.token), now=NOW)
    assert [task.id for task in await lease(store, 10, now=NOW + 50)] == [urgent.id]


async def test_a_task_waits_for_those_it_depends_on(store: TaskStore) -> None:
    first = await submitted(store)
    second = await submitted(store)
    last = await submitted(store, depends_on=(first.id, second.id))
    leased = await lease(store, 10)
    assert {task.id for task in leased} == {first.id, second.id}
    for task in leased:
        assert await lease(store, 10) == []
        assert task.lease is not None
        ended = await store.settle(done(task, task.lease.token), now=NOW)
    assert last.id in {task.id for task in ended.tasks}, "the task that became ready is a hint for the kernel"
    assert [task.id for task in await lease(store, 10)] == [last.id]


async def test_a_dead_dependency_is_the_end_of_all_that_wait_for_it(store: TaskStore) -> None:
    first = await submitted(store)
    second = await submitted(store, depends_on=(first.id,))
    third = await submitted(store, depends_on=(second.id,))
    ended = await store.cancel(first.id, reason="no", by="test", now=NOW)
    assert [task.state for task in ended.tasks] == [TaskState.CANCELLED, TaskState.DEAD, TaskState.DEAD]
    dead = await store.get(third.id)
    assert dead.error is not None
    assert second.id in dead.error.reason
    late = await submitted(store, depends_on=(third.id,))
    assert late.state is TaskState.DEAD
    error = await refused(ErrorCode.CONFLICT, store.retry(second.id, resend=False, by="t", now=NOW))
    assert first.id in error.info.reason
    await store.retry(first.id, resend=False, by="t", now=NOW)
    await store.retry(second.id, resend=False, by="t", now=NOW)
    assert [task.id for task in await lease(store, 10)] == [first.id]


async def test_depending_on_a_task_that_does_not_exist_is_refused(store: TaskStore) -> None:
    error = await refused(ErrorCode.NOT_FOUND, store.submit(a_task(depends_on=("nowhere",))))
    assert error.info.field == "depends_on"
    assert (await store.counts(now=NOW)).states["PENDING"] == 0


async def test_a_lease_that_ran_out_is_a_lost_worker_and_the_third_is_the_end(store: TaskStore) -> None:
    await submitted(store)
    now = NOW
    for loss in range(1, MAX_LOSSES + 1):
        task, token = await lease_one(store, now=now)
        await store.stage(task.id, token, to=Stage.SUBMITTED, conversation=None, now=now)
        assert (await store.sweep(now=now + 29)).result == 0
        now += 30
        (swept,) = (await store.sweep(now=now)).tasks
        assert (swept.losses, swept.failures, swept.stage) == (loss, 0, Stage.SUBMITTED)
    assert swept.state is TaskState.DEAD
    assert swept.error is not None
    assert swept.error.kind is TroubleKind.WORKER_LOST


async def test_a_renewed_lease_holds(store: TaskStore) -> None:
    await submitted(store)
    task, token = await lease_one(store)
    renewed = (await store.renew(task.id, token, seconds=30, now=NOW + 20)).result
    assert renewed.lease is not None
    assert renewed.lease.until == NOW + 50
    assert (await store.sweep(now=NOW + 40)).result == 0


async def test_a_deadline_that_passes_while_waiting_is_the_end(store: TaskStore) -> None:
    task = await submitted(store, deadline=NOW + 5)
    assert await lease(store, now=NOW + 5) == []
    found = await store.get(task.id)
    assert found.state is TaskState.DEAD, "leasing it notices"
    swept = await submitted(store, deadline=NOW + 5, not_before=NOW + 4)
    await store.sweep(now=NOW + 5)
    ended = await store.get(swept.id)
    assert ended.error is not None
    assert ended.error.kind is TroubleKind.DEADLINE


async def test_release_without_loss_counts_nothing_and_takes_only_what_is_named(store: TaskStore) -> None:
    await submitted(store)
    await submitted(store)
    first, second = await lease(store, 2)
    freed = await store.release("driver-1@a", task_id=first.id, loss=False, reason="full", now=NOW)
    assert freed.result == (first.id,)
    assert (await store.get(first.id)).losses == 0
    assert (await store.get(second.id)).state is TaskState.RUNNING
    assert (await store.release("driver-1@b", task_id=None, loss=True, reason="", now=NOW)).result == ()


async def test_cancel_voids_the_token_and_a_retry_keeps_the_stage(store: TaskStore) -> None:
    await submitted(store)
    task, token = await lease_one(store)
    await store.stage(task.id, token, to=Stage.SUBMITTED, conversation="c", now=NOW)
    await store.cancel(task.id, reason="changed my mind", by="me", now=NOW)
    await refused(ErrorCode.STALE_LEASE, store.settle(done(task, token), now=NOW))
    again = (await store.retry(task.id, resend=False, by="me", now=NOW + 2000)).result
    assert (again.state, again.stage, again.conversation) == (TaskState.RETRY, Stage.SUBMITTED, "c")
    assert again.deadline == NOW + 2000 + again.timeout
    await store.cancel(task.id, reason="", by="me", now=NOW + 2001)
    fresh = (await store.retry(task.id, resend=True, by="me", now=NOW + 2002)).result
    assert (fresh.stage, fresh.conversation) == (Stage.NONE, None)


async def test_pages_go_newest_first_and_on(store: TaskStore) -> None:
    tasks = [await submitted(store, provider="a" if i % 2 else "b", prompt="x" * 300) for i in range(7)]
    await store.cancel(tasks[0].id, reason="", by="", now=NOW)
    seen: list[TaskId] = []
    after = None
    while True:
        page = await store.page(states=(), provider=None, limit=3, after=after)
        assert all(len(task.prompt) == 200 for task in page.tasks)
        seen += [task.id for task in page.tasks]
        after = page.next
        if after is None:
            break
    assert seen == [task.id for task in reversed(tasks)]
    some = await store.page(
        states=(TaskState.CANCELLED, TaskState.PENDING), provider="b", limit=10, after=None
    )
    assert [task.id for task in some.tasks] == [tasks[i].id for i in (6, 4, 2, 0)]
    await refused(ErrorCode.INVALID, store.page(states=(), provider=None, limit=3, after="zzz"))


async def test_counts_and_the_oldest_wait_are_true(store: TaskStore) -> None:
    await submitted(store)
    await submitted(store, priority=4, created_at=NOW + 5, updated_at=NOW + 5)
    await submitted(store, not_before=NOW + 50)
    counts = await store.counts(now=NOW + 10)
    assert (counts.states["PENDING"], counts.oldest_wait) == (3, 10.0)
    await lease(store, limit=2, now=NOW + 10)
    counts = await store.counts(now=NOW + 10)
    assert (counts.states["RUNNING"], counts.oldest_wait) == (2, 0.0)


async def test_ids_that_are_unknown_or_ambiguous_say_so(store: TaskStore) -> None:
    await submitted(store, id="abcdefgh11111111")
    await submitted(store, id="abcdefgh22222222")
    await refused(ErrorCode.CONFLICT, store.get(TaskId("abcdefgh")))
    await refused(ErrorCode.NOT_FOUND, store.get(TaskId("abcde")))
    await refused(ErrorCode.NOT_FOUND, store.cancel(TaskId("nothing-here"), reason="", by="", now=NOW))
