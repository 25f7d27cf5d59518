"""A worker of a page, spoken to through the page's own CDP session: what it fetches never shows on that session."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from playwright.async_api import CDPSession
from playwright.async_api import Error as PlaywrightError

MAX_PENDING = 200
"""Calls without an answer; beyond, a call fails at once."""


class Session(Protocol):
    """What the capture needs of a CDP session."""

    def send(self, method: str, params: dict[str, Any] | None = None) -> Awaitable[dict[str, Any]]:
        """Call a method. Raises playwright's Error where it fails or the target is gone."""
        ...


class WorkerSession:
    """A session inside another one (CDP ``Target``, not flat: Playwright shows no others)."""

    def __init__(
        self, parent: CDPSession, session_id: str, handlers: dict[str, Callable[[dict[str, Any]], None]]
    ) -> None:
        self._parent = parent
        self._id = session_id
        self._handlers = handlers
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._gone = False

    async def send(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call a method of the worker's. No deadline of its own: the caller has one."""
        if self._gone or len(self._pending) >= MAX_PENDING:
            raise PlaywrightError(f"{method}: the worker {'is gone' if self._gone else 'does not answer'}")
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._pending[number] = answer
        message = json.dumps({"id": number, "method": method, "params": params or {}})
        try:
            await self._parent.send("Target.sendMessageToTarget", {"sessionId": self._id, "message": message})
            return await answer
        finally:
            self._pending.pop(number, None)

    def receive(self, message: str) -> None:
        """An event of the worker's, or the answer to a call."""
        told = json.loads(message)
        if "method" in told:
            handler = self._handlers.get(told["method"])
            if handler is not None:
                handler(told.get("params", {}))
            return
        answer = self._pending.get(told.get("id", 0))
        if answer is None or answer.done():
            return
        if "error" in told:
            answer.set_exception(PlaywrightError(str(told["error"].get("message", "refused"))))
        else:
            answer.set_result(told.get("result", {}))

    def end(self) -> None:
        """The worker is gone; calls under way fail."""
        self._gone = True
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(PlaywrightError("the worker is gone"))
