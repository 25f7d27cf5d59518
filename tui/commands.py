"""What the monitor may ask of a cluster beyond looking at it. Each is one bus command, and has an outcome to show."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from kernel.messages import QUEUE, TaskCancel, TaskRetry, TaskView
from kernel.tasks import TaskId
from nerv.bus.vocabulary import Command
from nerv.errors import ErrorCode, ErrorInfo, NervError
from nerv.messages import SUPERVISOR, ActorRestart, Ok
from tui.link import Feed

COMMAND_SECONDS = 10.0
RESTART_SECONDS = 30.0
REASON = "asked by the operator in nerv top"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a command: ``title`` names it; ``detail`` says the result, or the error and its fix."""

    done: bool
    title: str
    detail: str


async def retry_task(feed: Feed, task_id: TaskId) -> Outcome:
    return await _ask(feed, f"retry {task_id}", QUEUE, TaskRetry(id=task_id), COMMAND_SECONDS)


async def cancel_task(feed: Feed, task_id: TaskId) -> Outcome:
    return await _ask(
        feed, f"cancel {task_id}", QUEUE, TaskCancel(id=task_id, reason=REASON), COMMAND_SECONDS
    )


async def restart_actor(feed: Feed, name: str) -> Outcome:
    return await _ask(
        feed, f"restart {name}", SUPERVISOR, ActorRestart(name=name, reason=REASON), RESTART_SECONDS
    )


async def _ask(feed: Feed, title: str, target: str, message: Command[Any], seconds: float) -> Outcome:
    if feed.client is None:
        info = ErrorInfo(
            code=ErrorCode.DISCONNECTED,
            reason="there is no connection to the cluster",
            fix="try again when the link is live",
        )
        return Outcome(done=False, title=title, detail=str(info))
    try:
        async with asyncio.timeout(seconds + 1.0):
            answer = await feed.client.request(target, message, timeout=seconds)
    except NervError as error:
        return Outcome(done=False, title=title, detail=str(error.info))
    except TimeoutError:
        info = ErrorInfo(
            code=ErrorCode.DEADLINE, reason=f"{target} did not answer; the command may still be handled"
        )
        return Outcome(done=False, title=title, detail=str(info))
    feed.refresh_soon()
    match answer:
        case TaskView(task=task):
            return Outcome(done=True, title=title, detail=f"the task is now {task.state}")
        case Ok():
            return Outcome(done=True, title=title, detail="done")
        case _:
            return Outcome(done=True, title=title, detail=type(answer).__name__)
