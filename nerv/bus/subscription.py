"""A subscription: a bounded queue of events with an eye for gaps."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple

from nerv.bus.envelope import Envelope, PeerName
from nerv.bus.events import GapDetector, covers_class
from nerv.bus.vocabulary import Message
from nerv.errors import ErrorCode, ErrorInfo, NervError, RemoteError


@dataclass(frozen=True, slots=True)
class Event:
    """One event. ``gap``: how many events of the same stream were lost just before it (0: none)."""

    topic: str
    source: PeerName
    seq: int
    message: Message
    envelope: Envelope
    gap: int


class SubscriptionStatistics(NamedTuple):
    received: int
    dropped: int
    missed: int
    undecodable: int
    waiting: int
    attached: int


class Subscription:
    """Events whose topic begins with one of ``topics``, as an asynchronous iterator.

    Holds up to ``capacity`` events; when full the oldest is dropped, and the next event taken says so in ``gap``.
    Iteration ends after :meth:`close`. ``attached`` counts how often it took force (1, and once more after each
    restart of the broker): whoever needs the whole truth asks for a snapshot when it changes.
    """

    def __init__(
        self, topics: tuple[str, ...], capacity: int, on_close: Callable[[Subscription], None]
    ) -> None:
        self.topics = topics
        self.attached = 0
        self._capacity = capacity
        self._on_close = on_close
        self._events: deque[Event] = deque()
        self._gaps = GapDetector()
        self._class_wide = tuple(topic for topic in topics if covers_class(topic))
        self._waiter: asyncio.Future[None] | None = None
        self._in_force = asyncio.Event()
        self._closed = False
        self._refused: ErrorInfo | None = None
        self._overflow = 0
        self._received = self._dropped = self._missed = self.undecodable = 0

    def matches(self, topic: str) -> bool:
        return topic.startswith(self.topics)

    def offer(self, topic: str, numbers: tuple[int, int], envelope: Envelope, message: Message) -> None:
        """Called by the peer for each event that matches."""
        self._received += 1
        if topic.startswith(self._class_wide):
            stream, number = topic.partition(".")[0], numbers[0]
        else:
            stream, number = topic, numbers[1]
        gap = self._gaps.missed(envelope, stream, number)
        self._missed += gap
        self._events.append(Event(topic, envelope.source, number, message, envelope, gap))
        if len(self._events) > self._capacity:
            lost = self._events.popleft()
            self._dropped += 1
            self._overflow += 1 + lost.gap
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def attach(self) -> None:
        """Called by the peer when the broker proved that the subscription is in force."""
        self.attached += 1
        self._in_force.set()

    def refuse(self, error: ErrorInfo) -> None:
        """Called by the peer when the broker does not let this peer see these topics."""
        self._refused = error
        self._in_force.set()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def ready(self, timeout: float = 5.0) -> None:
        """Wait until events published from now on will arrive.

        Raises DISCONNECTED after ``timeout`` seconds, and FORBIDDEN if the role of this peer's key may not see them.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._in_force.wait()
        except TimeoutError:
            raise NervError(
                ErrorInfo(
                    code=ErrorCode.DISCONNECTED,
                    reason=f"the subscription to {', '.join(self.topics)} did not take force in {timeout:g} s",
                    fix="is the cluster running? `nerv status` shows it",
                )
            ) from None
        if self._refused is not None:
            self.close()
            raise RemoteError(self._refused)

    def get_nowait(self) -> Event | None:
        """The next event if one is here."""
        if not self._events:
            return None
        event = self._events.popleft()
        if self._overflow:
            event = Event(
                event.topic,
                event.source,
                event.seq,
                event.message,
                event.envelope,
                event.gap + self._overflow,
            )
            self._overflow = 0
        return event

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        while True:
            event = self.get_nowait()
            if event is not None:
                return event
            if self._refused is not None:
                raise RemoteError(self._refused)
            if self._closed:
                raise StopAsyncIteration
            if self._waiter is not None:
                raise RuntimeError("two tasks iterate over one subscription; subscribe twice instead")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    async def __aenter__(self) -> Subscription:
        await self.ready()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it. Events already here can still be taken."""
        if not self._closed:
            self._closed = True
            self._on_close(self)
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    def statistics(self) -> SubscriptionStatistics:
        return SubscriptionStatistics(
            self._received, self._dropped, self._missed, self.undecodable, len(self._events), self.attached
        )
