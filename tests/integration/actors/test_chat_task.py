"""The way of a task through queue, kernel and store, with a page that a test controls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kernel import work
from kernel.messages import (
    KERNEL,
    QUEUE,
    ProviderAdd,
    ProviderList,
    TaskCancel,
    TaskHistory,
    TaskSubmit,
)
from kernel.tasks import Stage, Task, TaskError, TaskState, TroubleKind
from kernel.work import ReplyProgress
from nerv.bus.vocabulary import Command
from nerv.client import Client
from nerv.errors import ErrorCode, ErrorInfo, NervError
from tests.integration.actors.cell import Cell, Page, answer, until


def chat(prompt: str = "hello", **fields: Any) -> TaskSubmit:
    return TaskSubmit(provider="alpha", prompt=prompt, **fields)


async def followed(client: Client, task: str, seconds: float = 20.0) -> list[ReplyProgress]:
    async with asyncio.timeout(seconds):
        return [step async for step in work.follow(client, task, poll=0.5)]  # type: ignore[arg-type]


def shown(steps: list[ReplyProgress]) -> str:
    text = ""
    for step in steps:
        if step.restarted:
            text = ""
        if step.delta is not None:
            text = text[: step.delta.offset] + step.delta.text
    return text


async def test_a_prompt_is_answered_and_followed_to_its_end(cell: Cell) -> None:
    async with Page(cell.instance), cell.client() as client:
        accepted = await work.submit(client, chat("hällo wörld"))
        assert (accepted.state, accepted.duplicate) == (TaskState.PENDING, False)
        steps = await followed(client, accepted.id)
        end = steps[-1]
        assert end.final
        assert end.task is not None
        assert (end.task.state, end.text) == (TaskState.DONE, "You said: hällo wörld")
        assert shown(steps) == "You said: hällo wörld"
        history = await client.request(QUEUE, TaskHistory(id=accepted.id))
        assert [event.change for event in history.events] == [
            "→PENDING",
            "PENDING→RUNNING",
            "none→prepared",
            "prepared→typed",
            "typed→submitted",
            "submitted→accepted",
            "RUNNING→DONE",
        ]


async def test_one_who_comes_late_sees_the_whole_reply(cell: Cell) -> None:
    async with Page(cell.instance) as page, cell.client() as client:
        halfway = asyncio.Event()
        go_on = asyncio.Event()

        async def slowly(page: Page, task: Task) -> str:
            await page.delta(task, 1, 0, "first ")
            halfway.set()
            await go_on.wait()
            await page.delta(task, 2, 6, "second")
            return "first second"

        page.act = slowly
        accepted = await work.submit(client, chat())
        await halfway.wait()
        async with asyncio.timeout(20):
            steps = []
            async for step in work.follow(client, accepted.id, poll=0.5):
                steps.append(step)
                if step.delta is not None:
                    go_on.set()
        assert shown(steps) == "first second"
        assert steps[-1].text == "first second"


async def test_a_provider_nobody_knows_is_refused_with_near_names(cell: Cell) -> None:
    async with cell.client() as client:
        with pytest.raises(NervError) as caught:
            await work.submit(client, TaskSubmit(provider="alhpa", prompt="x"))
        assert caught.value.code is ErrorCode.UNKNOWN_PROVIDER
        assert caught.value.info.field == "provider"
        assert "alpha" in (caught.value.info.fix or "")


async def test_a_failed_attempt_is_tried_again_and_its_text_shown_anew(cell: Cell) -> None:
    async with Page(cell.instance) as page, cell.client() as client:

        async def fails_once(page: Page, task: Task) -> str | TaskError:
            if task.attempt == 1:
                await page.delta(task, 1, 0, "half an ans")
                return TaskError(kind=TroubleKind.CUT_OFF, reason="the stream broke", retry_after=0.01)
            return await answer(page, task)

        page.act = fails_once
        steps = await followed(client, (await work.submit(client, chat("again"))).id)
        assert steps[-1].task is not None
        assert (steps[-1].task.attempt, steps[-1].task.failures) == (2, 1)
        assert any(step.restarted for step in steps)
        assert shown(steps) == steps[-1].text == "You said: again"


async def test_the_last_failure_is_the_end_and_says_why(cell: Cell) -> None:
    async with Page(cell.instance) as page, cell.client() as client:

        async def never(page: Page, task: Task) -> TaskError:
            return TaskError(kind=TroubleKind.NO_REPLY, reason="nothing came", retry_after=0.01)

        page.act = never
        steps = await followed(client, (await work.submit(client, chat(max_attempts=2))).id)
        task = steps[-1].task
        assert task is not None
        assert (task.state, task.failures) == (TaskState.DEAD, 2)
        assert task.error is not None
        assert "nothing came" in task.error.reason


async def test_a_driver_that_dies_loses_its_tasks_to_another_at_once(cell: Cell) -> None:
    async with cell.client() as client:
        hung = asyncio.Event()

        async def hangs(page: Page, task: Task) -> str:
            await page.stage(task, Stage.PREPARED, Stage.TYPED, Stage.SUBMITTED)
            hung.set()
            await asyncio.Event().wait()
            return ""

        async with Page(cell.instance, "driver-1") as first:
            first.act = hangs
            accepted = await work.submit(client, chat("once"))
            await asyncio.wait_for(hung.wait(), 10)
        async with Page(cell.instance, "driver-2") as second:
            steps = await followed(client, accepted.id)
            assert second.prompts == [("once", 2, Stage.SUBMITTED)], "the next attempt knows that it was sent"
        task = steps[-1].task
        assert task is not None
        assert (task.state, task.losses, task.failures) == (TaskState.DONE, 1, 0)


async def test_a_driver_that_is_full_gives_the_task_back_uncounted(cell: Cell) -> None:
    async with Page(cell.instance) as page, cell.client() as client:
        page.refuse = NervError(ErrorInfo(code=ErrorCode.BUSY, reason="no page"))
        accepted = await work.submit(client, chat())

        async def given_back() -> bool:
            history = await client.request(QUEUE, TaskHistory(id=accepted.id))
            return "RUNNING→RETRY" in [event.change for event in history.events]

        await until(given_back, "the task to be given back")
        page.refuse = None
        task = (await followed(client, accepted.id))[-1].task
        assert task is not None
        assert (task.state, task.losses, task.failures) == (TaskState.DONE, 0, 0)


async def test_a_driver_that_refuses_a_task_has_failed_at_it(cell: Cell) -> None:
    async with Page(cell.instance) as page, cell.client() as client:
        page.refuse = NervError(ErrorInfo(code=ErrorCode.INVALID, reason="the recipe is broken"))
        task = (await followed(client, (await work.submit(client, chat(max_attempts=1))).id))[-1].task
        assert task is not None
        assert task.state is TaskState.DEAD
        assert task.error is not None
        assert "the recipe is broken" in task.error.reason


async def test_cancel_stops_the_page_and_voids_its_report(cell: Cell) -> None:
    async with Page(cell.instance) as page, cell.client() as client:
        begun = asyncio.Event()

        async def hangs(page: Page, task: Task) -> str:
            begun.set()
            await asyncio.Event().wait()
            return ""

        page.act = hangs
        accepted = await work.submit(client, chat())
        await begun.wait()
        await client.request(QUEUE, TaskCancel(id=accepted.id, reason="changed my mind"))

        async def stopped() -> bool:
            return page.cancelled == [accepted.id]

        await until(stopped, "the cancel to reach the page")
        assert (await work.get(client, accepted.id)).state is TaskState.CANCELLED


async def test_an_open_breaker_keeps_tasks_waiting_and_burns_none(cell: Cell) -> None:
    async with Page(cell.instance) as page, cell.client() as client:

        async def wall(page: Page, task: Task) -> str | TaskError:
            if task.provider == "alpha":
                return TaskError(kind=TroubleKind.LOGIN_WALL, reason="please log in", retry_after=30.0)
            return await answer(page, task)

        page.act = wall
        first = await work.submit(client, chat("one"))

        async def open_breaker() -> bool:
            providers = await client.request(KERNEL, ProviderList())
            return [view.breaker for view in providers.providers if view.name == "alpha"] == ["open"]

        await until(open_breaker, "the breaker to open")
        second = await work.submit(client, chat("two"))
        other = await work.submit(client, TaskSubmit(provider="beta", prompt="three"))
        assert (await followed(client, other.id))[-1].text == "You said: three"
        waiting = await work.get(client, second.id)
        assert (waiting.state, waiting.attempt) == (TaskState.PENDING, 0)
        assert (await work.get(client, first.id)).attempt == 1


async def test_kernel_and_queue_may_restart_while_a_task_runs(cell: Cell) -> None:
    async with Page(cell.instance) as page, cell.client() as client:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def waits(page: Page, task: Task) -> str:
            begun.set()
            await go_on.wait()
            return await answer(page, task)

        page.act = waits
        accepted = await work.submit(client, chat("still here"))
        await begun.wait()
        for name in ("kernel", "queue"):
            await cell.stop(name)
        await cell.start("queue", "kernel")
        go_on.set()
        task = (await followed(client, accepted.id))[-1].task
        assert task is not None
        assert (task.state, task.attempt) == (TaskState.DONE, 1)


async def test_provider_add_checks_first_and_asks_a_driver(cell: Cell) -> None:
    async with cell.client() as client:

        async def refused(message: Command[Any]) -> NervError:
            with pytest.raises(NervError) as caught:
                await client.request(KERNEL, message, timeout=1.0)
            return caught.value

        assert (await refused(ProviderAdd(url="ftp://x"))).info.field == "url"
        assert (await refused(ProviderAdd(url="http://x/", name="No Name"))).info.field == "name"
        assert (await refused(ProviderAdd(url="http://x/", name="alpha"))).code is ErrorCode.CONFLICT
        async with Page(cell.instance):
            added: Any = await client.request(KERNEL, ProviderAdd(url="http://www.chat.example:8080/x"))
            assert added.name == "chat.example-8080"
