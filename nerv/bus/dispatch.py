"""From a delivered command to its answer: decode, call the handler, answer. Plain functions cost no task."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from nerv.bus.envelope import Envelope
from nerv.bus.handlers import CURRENT, Context, Handler, HandlerTable
from nerv.bus.peer_core import PeerCore
from nerv.bus.vocabulary import VOCABULARY, Message
from nerv.errors import ErrorCode, ErrorInfo, NervError

_log = logging.getLogger("nerv.bus")


class _Line:
    """The commands that wait for one coroutine handler, and the workers that take them."""

    __slots__ = ("handler", "pumping", "waiting", "workers")

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.waiting: deque[Envelope] = deque()
        self.workers = 0
        self.pumping = False


class Dispatcher:
    """Runs the handlers of one peer. ``changed`` is called when an answer waits to be sent.

    A worker takes commands as long as there are any; only when its handler really waits for something does the next
    command get a worker of its own. So a handler that does not wait costs no task for each command.
    """

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
        self._monotonic = monotonic
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._held: deque[Envelope] | None = deque() if hold else None
        self._lines = {name: _Line(handler) for name, handler in table.items()}
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()
        for name, handler in table.items():
            if handler.ack == "on_reply":
                core.slow_types.add(name)

    @property
    def in_flight(self) -> int:
        """Commands that run or wait."""
        return self._busy + len(self._held or ()) + sum(len(line.waiting) for line in self._lines.values())

    def serve(self) -> None:
        """The handlers are ready: those that waited, and all to come. Idempotent."""
        held, self._held = self._held or (), None
        for command in held:
            self.dispatch(command)

    def dispatch(self, command: Envelope) -> None:
        if self._held is not None:
            self._held.append(command)
            return
        line = self._lines.get(command.type)
        if line is None:
            self._core.fail(command, self._unhandled(command), self._monotonic())
        elif not line.handler.is_async:
            self._call(line.handler, command)
        else:
            line.waiting.append(command)
            if not line.pumping:
                self._pump(line)

    def _pump(self, line: _Line) -> None:
        """One more worker, if commands still wait after the last one has made its first step."""
        limit = line.handler.concurrency
        if line.waiting and (limit is None or line.workers < limit):
            line.pumping = True
            line.workers += 1
            task = self._loop.create_task(self._work(line))
            self._tasks.add(task)
            self._idle.clear()
            task.add_done_callback(self._ended)
            self._loop.call_soon(self._pump, line)
        else:
            line.pumping = False

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
            self._reply(handler, command, handler.call(message, Context(command)))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises becomes the answer
            self._fail(handler, command, error)
        finally:
            CURRENT.reset(token)

    async def _work(self, line: _Line) -> None:
        waiting, handler = line.waiting, line.handler
        decode, call = VOCABULARY.decode, handler.call
        try:
            while waiting:
                command = waiting.popleft()
                CURRENT.set(command)
                self._busy += 1
                try:
                    message = decode(handler.name, command.payload)
                    self._reply(handler, command, await call(message, Context(command)))
                except asyncio.CancelledError as error:
                    task = asyncio.current_task()
                    if task is not None and task.cancelling():
                        self._put_back(command)
                        raise
                    self._fail(handler, command, RuntimeError(f"what it waited for was cancelled: {error}"))
                except Exception as error:  # noqa: BLE001 - whatever a handler raises becomes the answer
                    self._fail(handler, command, error)
                finally:
                    self._busy -= 1
                self._changed()
        finally:
            line.workers -= 1

    def _reply(self, handler: Handler, command: Envelope, answer: Message) -> None:
        if type(answer) is not handler.reply:
            expected = handler.reply.__name__ if handler.reply else "nothing"
            raise TypeError(f"it answered with {type(answer).__name__} instead of {expected}")
        name, payload = VOCABULARY.encode_named(answer)
        self._core.reply(command, name, payload, self._monotonic())

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
        for queue in (self._held or deque(), *(line.waiting for line in self._lines.values())):
            while queue:
                self._put_back(queue.popleft())
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
