"""A peer's events on real sockets: published through one, received by its subscriptions through another.

Like all of the peer's sockets they are read until empty after each wake-up and each send (see `nerv.bus.peer_socket`).
"""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec
import zmq

from nerv.bus import sockets
from nerv.bus.clock import Clock
from nerv.bus.endpoints import Endpoints
from nerv.bus.envelope import BROKER, Envelope, IdSource, Incarnation, Kind, PeerName
from nerv.bus.events import PROBE, Numbering, numbers_of
from nerv.bus.handlers import CURRENT
from nerv.bus.limits import Limits, too_large
from nerv.bus.subscription import Subscription
from nerv.bus.trace import TraceSource
from nerv.bus.vocabulary import VOCABULARY, Message
from nerv.errors import UNDECODABLE, ErrorInfo, NervError

EVENTS_KEPT = 8192
"""Events that wait for the broker; beyond, the oldest is dropped and its subscribers see the gap."""
BLOCKED_RETRY = 0.01
"""Seconds until what a full socket refused is tried again."""
# As plain integers: pyzmq's flags are enumerations, and combining those costs more than the system call.
_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)
_DONTWAIT, _DONTWAIT_SNDMORE = int(zmq.DONTWAIT), int(zmq.DONTWAIT | zmq.SNDMORE)
_READ_AT_ONCE = 128

_encode = msgspec.msgpack.Encoder().encode
_decode_event = msgspec.msgpack.Decoder(Envelope).decode


class EventSocket:
    """Publishes under one name, and feeds the subscriptions of one peer. Belongs to the loop that makes it."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoints: Endpoints,
        *,
        name: PeerName,
        incarnation: Incarnation,
        limits: Limits,
        clock: Clock,
        curve: sockets.Curve | None,
    ) -> None:
        self.published = self.dropped = self.received = 0
        self.limits = limits
        """Those of the broker, once it has told them."""
        self._name = name
        self._incarnation = incarnation
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._ids = IdSource(incarnation, "e")
        self._traces = TraceSource(incarnation, "e")
        self._numbering = Numbering()
        self._waiting: deque[tuple[bytes, bytes, bytes]] = deque()
        self._attached = False
        self._flush_scheduled = False
        self._retry: asyncio.TimerHandle | None = None
        self._subscriptions: dict[str, Subscription] = {}
        self._probes = 0
        self._closed = False
        self._publisher = sockets.publisher(context, limits)
        self._subscriber = sockets.subscriber(context, limits)
        for socket, address, read in (
            (self._publisher, endpoints.events_in, self._read_publisher),
            (self._subscriber, endpoints.events_out, self._read_events),
        ):
            if curve is not None:
                curve.protect(socket)
            self._loop.add_reader(socket.fileno(), read)
            socket.connect(address)

    @property
    def waiting(self) -> int:
        """Events that the broker has not taken yet."""
        return len(self._waiting)

    @property
    def subscriptions(self) -> int:
        return len(self._subscriptions)

    # -- publishing -------------------------------------------------------------------------------------------

    def publish(self, topic: str, message: Message, *, correlation: str = "") -> None:
        """See `Peer.publish`; raises TOO_LARGE."""
        type_name, payload = VOCABULARY.encode_named(message)
        if len(payload) > self.limits.message_bytes:
            raise NervError(too_large(type_name, len(payload), self.limits))
        cause = CURRENT.get()
        event = self._ids.next()
        trace = ""
        if cause is not None:
            trace = cause.trace if correlation in ("", cause.correlation) else ""
            correlation = correlation or cause.correlation
        if correlation:  # others, like ticks, belong to no trace
            trace = self._traces.follow(trace, event, correlation)
        envelope = Envelope(
            id=event,
            kind=Kind.EVENT,
            type=type_name,
            source=self._name,
            target=BROKER,
            correlation=correlation,
            causation=cause.id if cause is not None else "",
            trace=trace,
            sent_at=self._clock.wall(),
            payload=payload,
        )
        self.published += 1
        self._waiting.append((topic.encode(), self._numbering.next(topic), _encode(envelope)))
        if len(self._waiting) > EVENTS_KEPT:
            self._waiting.popleft()
            self.dropped += 1
        self._schedule_flush()

    def _schedule_flush(self) -> None:
        if self._attached and self._waiting and not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush_in_turn)

    def _flush_in_turn(self) -> None:
        self._flush_scheduled = False
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the socket takes it; without a broker it waits on."""
        if self._closed or not self._attached:
            return
        waiting, publisher = self._waiting, self._publisher
        try:
            while waiting:
                topic, numbers, body = waiting[0]
                publisher.send(topic, _DONTWAIT_SNDMORE)
                publisher.send(numbers, _DONTWAIT_SNDMORE)
                publisher.send(body, _DONTWAIT)
                waiting.popleft()
        except zmq.Again:
            if self._retry is None:
                self._retry = self._loop.call_later(BLOCKED_RETRY, self._try_again)
        if int(publisher.getsockopt(_EVENTS)) & _POLLIN:
            self._loop.call_soon(self._read_publisher)

    def _try_again(self) -> None:
        self._retry = None
        self.flush()

    def _read_publisher(self) -> None:
        """The broker subscribes, or is gone: nothing is published into the void."""
        while not self._closed:
            try:
                frame = self._publisher.recv(zmq.DONTWAIT)
            except zmq.Again:
                break
            self._attached = frame[:1] == b"\x01"
        self._schedule_flush()

    # -- subscribing ------------------------------------------------------------------------------------------

    def subscribe(self, topics: tuple[str, ...], capacity: int) -> Subscription:
        self._probes += 1
        probe = f"{PROBE}{self._name}.{self._incarnation}.{self._probes}"
        subscription = Subscription(topics, capacity, lambda closing: self._unsubscribe(probe, closing))
        self._subscriptions[probe] = subscription
        for topic in (*topics, probe):
            self._subscriber.subscribe(topic)
        self._loop.call_soon(self._read_events)
        return subscription

    def _unsubscribe(self, probe: str, subscription: Subscription) -> None:
        if self._subscriptions.pop(probe, None) is not None:
            for topic in (*subscription.topics, probe):
                self._subscriber.unsubscribe(topic)

    def _read_events(self) -> None:
        if self._closed:
            return
        subscriber = self._subscriber
        for _ in range(_READ_AT_ONCE):
            if not int(subscriber.getsockopt(_EVENTS)) & _POLLIN:
                return
            frames = subscriber.recv_multipart(_DONTWAIT)
            if len(frames) == 3:
                self._on_event(frames[0].decode("utf-8", "replace"), frames[1], frames[2])
        self._loop.call_soon(self._read_events)

    def _on_event(self, topic: str, number_frame: bytes, body: bytes) -> None:
        if topic.startswith(PROBE):
            self._on_probe(topic, body)
            return
        self.received += 1
        matching = [
            subscription for subscription in self._subscriptions.values() if subscription.matches(topic)
        ]
        if not matching:
            return
        try:
            numbers = numbers_of(number_frame)
            envelope = _decode_event(body)
            message = VOCABULARY.decode(envelope.type, envelope.payload)
        except (ValueError, *UNDECODABLE, NervError):
            for subscription in matching:
                subscription.undecodable += 1
            return
        for subscription in matching:
            subscription.offer(topic, numbers, envelope, message)

    def _on_probe(self, topic: str, body: bytes) -> None:
        """What a new subscription waits for: the broker's word that it is in force, or why not."""
        probed = self._subscriptions.get(topic)
        if probed is None:
            return
        try:
            envelope = _decode_event(body)
            if envelope.kind is Kind.ERROR:
                probed.refuse(msgspec.msgpack.decode(envelope.payload, type=ErrorInfo))
                return
        except UNDECODABLE:
            probed.undecodable += 1
        probed.attach()

    # -- life -------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Read both sockets, in case a wake-up was missed."""
        self._read_publisher()
        self._read_events()

    def end_subscriptions(self) -> None:
        for subscription in list(self._subscriptions.values()):
            subscription.close()

    def close(self, *, linger: int) -> None:
        """``linger``: milliseconds for what was just published to leave."""
        self.flush()
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
        self._publisher.setsockopt(zmq.LINGER, linger)
        for socket in (self._publisher, self._subscriber):
            self._loop.remove_reader(socket.fileno())
            socket.close()
