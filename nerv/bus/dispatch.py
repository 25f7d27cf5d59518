"""From a delivered command to its answer: decode, call the handler, answer. Plain functions cost no task."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from nerv.bus.envelope import Envelope
from nerv.bus.handlers import CURRENT, Context, Handler, HandlerTable
from nerv.bus.peer_core import PeerCore
from nerv.bus.vocabulary import VOCABULARY, Message
from nerv.errors import ErrorCode, ErrorInfo, NervError

_log = logging.getLogger("nerv.bus")


class Dispatcher:
    """Runs the handlers of one peer. ``changed`` is called when an answer waits to be sent."""

    def __init__(
        self,
        core: PeerCore,
        table: HandlerTable,
        *,
        monotonic: Callable[[], float],
        changed: Callable[[], None],
        hold: bool = False,
    ) -> None:
        """``hold``: commands wait, within the peer's window, until :meth:`serve`."""
        self._core = core
        self._table = table
        self._monotonic = monotonic
        self._changed = changed
        self._held: deque[Envelope] | None = deque() if hold else None
        self._running: dict[str, int] = {}
        self._queued: dict[str, deque[Envelope]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        for name, handler in table.items():
            if handler.ack == "on_reply":
                core.slow_types.add(name)

    @property
    def in_flight(self) -> int:
        return len(self._tasks) + sum(len(queue) for queue in self._queued.values())

    def serve(self) -> None:
        """The handlers are ready: those that waited, and all to come. Idempotent."""
        held, self._held = self._held or (), None
        for command in held:
            self.dispatch(command)

    def dispatch(self, command: Envelope) -> None:
        if self._held is not None:
            self._held.append(command)
            return
        handler = self._table.get(command.type)
        if handler is None:
            self._core.fail(command, self._unhandled(command), self._monotonic())
        elif not handler.is_async:
            self._call(handler, command)
        elif handler.concurrency is None:
            self._spawn(self._run(handler, command))
        else:
            self._dispatch_limited(handler, handler.concurrency, command)

    def _dispatch_limited(self, handler: Handler, concurrency: int, command: Envelope) -> None:
        self._queued.setdefault(handler.name, deque()).append(command)
        if self._running.get(handler.name, 0) < concurrency:
            self._running[handler.name] = self._running.get(handler.name, 0) + 1
            self._spawn(self._work(handler))

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        self._idle.clear()
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            self._idle.set()

    def _unhandled(self, command: Envelope) -> ErrorInfo:
        if command.type not in VOCABULARY:
            return ErrorInfo(
                code=ErrorCode.UNKNOWN_TYPE,
                reason=f"no message type is called {command.type!r}",
                field="type",
                fix="`nerv messages` lists the types",
            )
        return ErrorInfo(
            code=ErrorCode.INVALID,
            reason=f"{self._core.name!r} does not handle {command.type!r}",
            field="target",
            fix=f"`nerv messages {command.type}` names its target",
        )

    def _call(self, handler: Handler, command: Envelope) -> None:
        token = CURRENT.set(command)
        try:
            message = VOCABULARY.decode(handler.name, command.payload)
            self._reply(command, handler.call(message, Context(command)))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises becomes the answer
            self._fail(handler, command, error)
        finally:
            CURRENT.reset(token)

    async def _run(self, handler: Handler, command: Envelope) -> None:
        CURRENT.set(command)
        try:
            message = VOCABULARY.decode(handler.name, command.payload)
            self._reply(command, await handler.call(message, Context(command)))
        except asyncio.CancelledError:
            self._put_back(command)
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises becomes the answer
            self._fail(handler, command, error)
        self._changed()

    async def _work(self, handler: Handler) -> None:
        """One of the handler's workers: commands in order of arrival, no task for each."""
        queue = self._queued[handler.name]
        try:
            while queue:
                await self._run(handler, queue.popleft())
        finally:
            self._running[handler.name] -= 1

    def _reply(self, command: Envelope, answer: Message) -> None:
        entry = VOCABULARY.of(type(answer))
        self._core.reply(command, entry.name, VOCABULARY.encode(answer), self._monotonic())

    def _fail(self, handler: Handler, command: Envelope, error: Exception) -> None:
        if isinstance(error, NervError):
            info = error.info
        else:
            _log.error("handler of %s failed", handler.name, exc_info=error)
            info = ErrorInfo(
                code=ErrorCode.INTERNAL,
                reason=f"{self._core.name!r} failed on {handler.name!r}: {type(error).__name__}: {error}",
                fix="its log has the whole trace under this correlation id",
            )
        self._core.fail(command, info, self._monotonic())

    def _put_back(self, command: Envelope) -> None:
        info = ErrorInfo(
            code=ErrorCode.STOPPING,
            reason=f"{self._core.name!r} stopped before it was done",
            retry_after=self._core.limits.busy_retry,
        )
        self._core.put_back(command, info, self._monotonic())

    async def drained(self) -> None:
        """Wait until no handler runs."""
        await self._idle.wait()

    async def close(self) -> None:
        """Cancel what still runs; its senders are told to try again."""
        for queue in (self._held or deque(), *self._queued.values()):
            while queue:
                self._put_back(queue.popleft())
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
