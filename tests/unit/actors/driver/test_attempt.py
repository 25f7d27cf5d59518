"""An attempt: stages are durable before the next step, a lost lease voids it, whatever happens is reported."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from actors.driver import attempt as module
from actors.driver.attempt import Attempt, LeaseLost
from drivers.chat import ChatResult, Resume
from drivers.recipes import Locator, Locators, Recipe
from drivers.trouble import trouble
from kernel.messages import (
    AttemptReport,
    ReplyAppend,
    ReplyRead,
    ReplySeal,
    ReplySealed,
    ReplyView,
    TaskStage,
    TaskView,
)
from kernel.tasks import (
    Finish,
    Lease,
    LeaseToken,
    ReplySource,
    ReplySummary,
    Stage,
    Task,
    TaskId,
    TaskKind,
    TaskState,
    TroubleKind,
)
from nerv.bus.vocabulary import Command, Message
from nerv.errors import ErrorCode, ErrorInfo, RemoteError
from nerv.logs import BoundLog
from nerv.messages import Ok

RECIPE = Recipe(
    name="p", address="http://127.0.0.1/", locators=Locators(input=(Locator(path=("textarea",)),))
)
SUMMARY = ReplySummary(attempt=1, source=ReplySource.WIRE, finish=Finish.COMPLETE, length=5, sha256="x")


def make_task(**changes: Any) -> Task:
    values: dict[str, Any] = {
        "id": TaskId("t1"),
        "kind": TaskKind.CHAT,
        "provider": "p",
        "prompt": "hello",
        "state": TaskState.RUNNING,
        "attempt": 1,
        "deadline": 1e12,
        "lease": Lease(token=LeaseToken("token"), owner="driver-1@x", until=1e12),
        "created_at": 0.0,
        "updated_at": 0.0,
    }
    return Task(**values | changes)


class Cluster:
    """Queue, store and kernel in one: takes down what they are told, answers as they would."""

    name = "driver-1"

    def __init__(self, sealed: ReplySummary | None = None, stale: bool = False) -> None:
        self.told: list[Message] = []
        self.sealed = sealed
        self.stale = stale

    async def request(self, target: str, message: Command[Any], *, timeout: float = 30.0) -> Any:
        self.told.append(message)
        match message:
            case TaskStage() if self.stale:
                raise RemoteError(ErrorInfo(code=ErrorCode.STALE_LEASE, reason="another has it"))
            case ReplyRead():
                return ReplyView(task=message.task, sealed=self.sealed)
            case ReplySeal():
                return ReplySealed(reply=SUMMARY)
            case AttemptReport():
                return TaskView(task=make_task(state=TaskState.DONE))
            case _:
                return Ok()

    def of(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.told if isinstance(message, kind)]


def make_attempt(cluster: Cluster, task: Task | None = None) -> Attempt:
    @asynccontextmanager
    async def open_page(task: Task, recipe: Recipe) -> AsyncIterator[Any]:
        yield object()

    return Attempt(
        cast(Any, cluster),
        task or make_task(),
        lease_seconds=30.0,
        recipe=RECIPE,
        open_page=open_page,
        log=BoundLog("test"),
    )


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    def use(flow: Callable[..., Any]) -> None:
        monkeypatch.setattr(module, "run_chat", flow)

    return use


async def good_flow(
    page: Any, recipe: Recipe, prompt: str, progress: Any, *, resume: Resume | None, deadline: float
) -> ChatResult:
    for stage in (Stage.PREPARED, Stage.TYPED, Stage.SUBMITTED):
        await progress.stage(stage)
    await progress.stage(Stage.ACCEPTED, "http://127.0.0.1/c/1")
    await progress.delta("hel", 0, False)
    return ChatResult(
        text="hello", source=ReplySource.WIRE, finish=Finish.COMPLETE, conversation="http://127.0.0.1/c/1"
    )


async def test_a_good_attempt_tells_its_stages_stores_its_deltas_seals_and_reports(chat: Any) -> None:
    chat(good_flow)
    cluster = Cluster()
    await make_attempt(cluster).run()
    assert [told.stage for told in cluster.of(TaskStage)] == ["prepared", "typed", "submitted", "accepted"]
    deltas = [delta for told in cluster.of(ReplyAppend) for delta in told.deltas]
    assert "".join(delta.text for delta in deltas) == "hello"
    kinds = [type(message) for message in cluster.told]
    assert kinds.index(ReplySeal) > max(at for at, kind in enumerate(kinds) if kind is ReplyAppend)
    assert kinds[-1] is AttemptReport
    assert cluster.of(AttemptReport)[0].reply == SUMMARY


async def test_trouble_is_reported_with_its_kind(chat: Any) -> None:
    async def flow(*_: Any, **__: Any) -> ChatResult:
        raise trouble(TroubleKind.RATE_LIMIT, "slow down", retry_after=60.0)

    chat(flow)
    cluster = Cluster()
    await make_attempt(cluster).run()
    (report,) = cluster.of(AttemptReport)
    assert report.error.kind is TroubleKind.RATE_LIMIT
    assert report.error.retry_after == 60.0


async def test_a_defect_of_page_code_is_an_outcome_too(chat: Any) -> None:
    async def flow(*_: Any, **__: Any) -> ChatResult:
        raise ZeroDivisionError("oops")

    chat(flow)
    cluster = Cluster()
    await make_attempt(cluster).run()
    (report,) = cluster.of(AttemptReport)
    assert report.error.kind is TroubleKind.INTERNAL
    assert "oops" in report.error.reason


async def test_a_lost_lease_voids_the_attempt_and_nothing_more_is_told(chat: Any) -> None:
    chat(good_flow)
    cluster = Cluster(stale=True)
    with pytest.raises(LeaseLost):
        await make_attempt(cluster).run()
    assert not cluster.of(ReplySeal)
    assert not cluster.of(AttemptReport)


async def test_a_reply_that_an_earlier_attempt_sealed_is_reported_without_working_again(chat: Any) -> None:
    async def flow(*_: Any, **__: Any) -> ChatResult:
        raise AssertionError("the page must not be touched")

    chat(flow)
    cluster = Cluster(sealed=SUMMARY)
    await make_attempt(cluster, make_task(attempt=2, stage=Stage.ACCEPTED)).run()
    assert cluster.of(AttemptReport)[0].reply == SUMMARY


async def test_an_attempt_after_a_submission_resumes_and_never_steps_back(chat: Any) -> None:
    seen: list[Resume | None] = []

    async def flow(
        page: Any, recipe: Recipe, prompt: str, progress: Any, *, resume: Any, deadline: float
    ) -> Any:
        seen.append(resume)
        await progress.stage(Stage.PREPARED)
        return await good_flow(page, recipe, prompt, progress, resume=resume, deadline=deadline)

    chat(flow)
    cluster = Cluster()
    task = make_task(attempt=2, stage=Stage.SUBMITTED, conversation="http://127.0.0.1/c/1")
    await make_attempt(cluster, task).run()
    assert seen == [Resume(stage=Stage.SUBMITTED, conversation="http://127.0.0.1/c/1")]
    assert [told.stage for told in cluster.of(TaskStage)] == ["accepted"]
