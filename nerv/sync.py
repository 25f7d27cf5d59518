"""The client for programs without an event loop: the same calls, blocking, over a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Concatenate, Generic, NamedTuple, ParamSpec, TypeVar, Unpack

from nerv.bus.peer_socket import DEFAULT_TIMEOUT
from nerv.bus.subscription import Event, Subscription
from nerv.bus.vocabulary import Command, Message, R
from nerv.client import Client, ClientOptions
from nerv.instance import Instance

P = ParamSpec("P")
T = TypeVar("T")


class SyncClient:
    """``with SyncClient() as client: client.request("queue", TaskList())``. Safe to call from several threads."""

    def __init__(
        self, instance: Instance | None = None, name: str | None = None, **options: Unpack[ClientOptions]
    ) -> None:
        """See :class:`nerv.client.Client`."""
        self._client = Client(instance, name, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nerv-sync-client", daemon=True)

    def __enter__(self) -> SyncClient:
        self._thread.start()
        try:
            self._call(self._client.__aenter__())
        except BaseException:
            self._end_loop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._call(self._client.__aexit__(None, None, None))
        finally:
            self._end_loop()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C here must not leave the request running there
            raise

    def request(
        self,
        target: str,
        message: Command[R],
        *,
        timeout: float = DEFAULT_TIMEOUT,
        correlation: str | None = None,
    ) -> R:
        """See :meth:`nerv.client.Client.request`."""
        return self._call(self._client.request(target, message, timeout=timeout, correlation=correlation))

    def send(
        self,
        type_name: str,
        json: str | bytes,
        *,
        target: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Message:
        """See :meth:`nerv.client.Client.send`."""
        return self._call(self._client.send(type_name, json, target=target, timeout=timeout))

    def call(
        self, function: Callable[Concatenate[Client, P], Awaitable[T]], *args: P.args, **options: P.kwargs
    ) -> T:
        """Call any coroutine function that takes a client first: ``client.call(kernel.work.submit, message)``."""

        async def work() -> T:
            return await function(self._client, *args, **options)

        return self._call(work())

    def iterate(
        self,
        function: Callable[Concatenate[Client, P], AsyncIterator[T]],
        *args: P.args,
        **options: P.kwargs,
    ) -> Iterator[T]:
        """Its steps, if it is an asynchronous generator: ``for step in client.iterate(kernel.work.follow, task.id)``.

        It runs at most one step ahead, and is closed when the iteration ends or is given up.
        """

        async def begin() -> _Pump[T]:
            return _Pump(function(self._client, *args, **options))

        pump = self._call(begin())
        try:
            while True:
                step = self._call(pump.next())
                if isinstance(step, _End):
                    if step.error is not None:
                        raise step.error
                    return
                yield step
        finally:
            if self._loop.is_running():  # else the client was closed meanwhile, and everything of it with it
                self._call(pump.close())

    def events(self, *topics: str, timeout: float | None = None, capacity: int = 1024) -> Iterator[Event]:
        """Events as they come, from when the first is asked for; ends after ``timeout`` seconds without one."""
        subscription = self._call(self._subscribe(topics, capacity))
        try:
            while True:
                event = self._call(_next(subscription, timeout))
                if event is None:
                    return
                yield event
        finally:
            if self._loop.is_running():  # else the client was closed meanwhile, and its subscriptions with it
                self._call(_close(subscription))

    async def _subscribe(self, topics: tuple[str, ...], capacity: int) -> Subscription:
        subscription = self._client.subscribe(*topics, capacity=capacity)
        await subscription.ready()
        return subscription


class _End(NamedTuple):
    error: BaseException | None


class _Pump(Generic[T]):
    """Runs an asynchronous iterator in one task, as its timeouts and groups need, one step ahead of its reader."""

    def __init__(self, steps: AsyncIterator[T]) -> None:
        self._steps = steps
        self._queue: asyncio.Queue[T | _End] = asyncio.Queue(1)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        error: BaseException | None = None
        try:
            async for step in self._steps:
                await self._queue.put(step)
        except Exception as failed:  # noqa: BLE001 - it is raised where the steps are read
            error = failed
        await self._queue.put(_End(error))

    async def next(self) -> T | _End:
        return await self._queue.get()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if isinstance(self._steps, AsyncGenerator):
            await self._steps.aclose()


async def _next(subscription: Subscription, timeout: float | None) -> Event | None:
    try:
        async with asyncio.timeout(timeout):
            return await anext(subscription)
    except (TimeoutError, StopAsyncIteration):
        return None


async def _close(subscription: Subscription) -> None:
    subscription.close()
