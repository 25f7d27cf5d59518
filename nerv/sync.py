"""The client for programs without an event loop: the same calls, blocking, over a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from nerv.bus.endpoints import Endpoints
from nerv.bus.peer_socket import DEFAULT_TIMEOUT
from nerv.bus.subscription import Event, Subscription
from nerv.bus.vocabulary import Command, Message, R
from nerv.client import CONNECT_TIMEOUT, Client
from nerv.instance import Instance

T = TypeVar("T")


class SyncClient:
    """``with SyncClient() as client: client.request("queue", TaskList())``. Safe to call from several threads."""

    def __init__(
        self,
        instance: Instance | None = None,
        name: str | None = None,
        *,
        endpoints: Endpoints | str | None = None,
        key_file: Path | str | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
    ) -> None:
        """See :class:`nerv.client.Client`."""
        self._options = (instance, name, endpoints, key_file, connect_timeout)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nerv-sync-client", daemon=True)
        self._client: Client

    def __enter__(self) -> SyncClient:
        self._thread.start()
        try:
            self._call(self._open())
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

    async def _open(self) -> None:
        instance, name, endpoints, key_file, connect_timeout = self._options
        self._client = Client(
            instance, name, endpoints=endpoints, key_file=key_file, connect_timeout=connect_timeout
        )
        await self._client.__aenter__()

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


async def _next(subscription: Subscription, timeout: float | None) -> Event | None:
    try:
        async with asyncio.timeout(timeout):
            return await anext(subscription)
    except (TimeoutError, StopAsyncIteration):
        return None


async def _close(subscription: Subscription) -> None:
    subscription.close()
