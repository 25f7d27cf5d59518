"""Calls to a worker through the session of its page, and how each of them ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest
from playwright.async_api import CDPSession
from playwright.async_api import Error as PlaywrightError

from drivers.capture.worker import MAX_PENDING, WorkerSession


class Parent:
    """The page's session: keeps what is sent to the worker."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.arrived = asyncio.Semaphore(0)

    async def send(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        assert (method, params["sessionId"]) == ("Target.sendMessageToTarget", "w1")
        self.sent.append(json.loads(params["message"]))
        self.arrived.release()
        return {}


def worker_of(parent: Parent, events: list[dict[str, Any]] | None = None) -> WorkerSession:
    heard = events if events is not None else []
    return WorkerSession(cast(CDPSession, parent), "w1", {"Network.dataReceived": heard.append})


async def calls(worker: WorkerSession, parent: Parent, count: int = 1) -> list[asyncio.Task[dict[str, Any]]]:
    """Calls under way, each sent and not answered."""
    tasks = [asyncio.ensure_future(worker.send("Network.enable", {"a": number})) for number in range(count)]
    async with asyncio.timeout(5):
        for _ in tasks:
            await parent.arrived.acquire()
    return tasks


async def test_a_call_gets_its_own_answer() -> None:
    parent = Parent()
    worker = worker_of(parent)
    first, second = await calls(worker, parent, 2)
    for number, message in enumerate(reversed(parent.sent)):
        worker.receive(json.dumps({"id": message["id"], "result": {"n": number}}))
    assert [await first, await second] == [{"n": 1}, {"n": 0}]


async def test_a_refusal_is_an_error_of_the_call() -> None:
    parent = Parent()
    worker = worker_of(parent)
    (call,) = await calls(worker, parent)
    worker.receive(json.dumps({"id": parent.sent[0]["id"], "error": {"message": "already finished"}}))
    with pytest.raises(PlaywrightError, match="already finished"):
        await call


async def test_events_reach_their_handler_and_others_are_let_pass() -> None:
    events: list[dict[str, Any]] = []
    worker = worker_of(Parent(), events)
    worker.receive('{"method": "Network.dataReceived", "params": {"requestId": "7"}}')
    worker.receive('{"method": "Network.unheardOf", "params": {}}')
    worker.receive('{"id": 99, "result": {}}')
    assert events == [{"requestId": "7"}]


async def test_a_worker_that_goes_ends_the_calls_under_way_and_takes_no_more() -> None:
    parent = Parent()
    worker = worker_of(parent)
    (call,) = await calls(worker, parent)
    worker.end()
    with pytest.raises(PlaywrightError, match="gone"):
        await call
    with pytest.raises(PlaywrightError, match="gone"):
        await worker.send("Network.enable")


async def test_calls_without_an_answer_are_bounded() -> None:
    parent = Parent()
    worker = worker_of(parent)
    under_way = await calls(worker, parent, MAX_PENDING)
    with pytest.raises(PlaywrightError, match="does not answer"):
        await worker.send("Network.enable")
    for call in under_way:
        call.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)
    assert (await calls(worker, parent, 1))[0].cancel(), "a call that was given up makes room"
