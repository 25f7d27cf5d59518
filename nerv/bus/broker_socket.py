"""The broker on real sockets: a thin shell around `BrokerCore`, and the forwarding of events.

It never blocks: every send is non-blocking, what one peer's socket refuses waits in that peer's own backlog, and a
subscriber that does not read loses its own events only (XPUB drops for it alone).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import zmq

from nerv.bus import sockets
from nerv.bus.broker_core import BUS, BrokerCore, BrokerCounts
from nerv.bus.clock import Clock, SystemClock
from nerv.bus.control import answer_requests, headers
from nerv.bus.endpoints import Endpoints
from nerv.bus.envelope import BROKER, Envelope, IdSource, Incarnation, Kind, new_incarnation
from nerv.bus.events import PROBE, Numbering
from nerv.bus.limits import DEFAULT_LIMITS, Limits
from nerv.bus.spin import SPIN, Spin
from nerv.bus.vocabulary import VOCABULARY, Message
from nerv.messages import PeerChanged

if TYPE_CHECKING:
    from nerv.bus.remote.door import Door

_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)
_DONTWAIT, _DONTWAIT_SNDMORE = int(zmq.DONTWAIT), int(zmq.DONTWAIT | zmq.SNDMORE)
TAP = "tap."
_READ_AT_ONCE = 256
_TICK = 0.2
_REMOTE = b"\xff"
"""How the routing id of a peer behind the door begins."""
_BACKLOG_RETRY = 0.005
_give_way: Callable[[], None] = getattr(os, "sched_yield", None) or functools.partial(time.sleep, 0)

_log = logging.getLogger("nerv.bus")
_encode = msgspec.msgpack.Encoder().encode


class BrokerStatistics(NamedTuple):
    core: BrokerCounts
    events: int
    events_refused: int


class Broker:
    """One broker in one event loop. `open` binds, `close` unbinds; nothing is kept between lives."""

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        limits: Limits = DEFAULT_LIMITS,
        clock: Clock | None = None,
        incarnation: Incarnation | None = None,
        software: str = "",
        door: Door | None = None,
        spin: float = SPIN,
    ) -> None:
        """``door``: also be there for peers beyond this machine's directory (`nerv.bus.remote`)."""
        self.endpoints = endpoints
        self._spin = Spin(spin)
        self._door = door
        self.incarnation = incarnation or new_incarnation()
        self._clock: Clock = clock or SystemClock()
        self._limits = limits.check()
        now = self._clock.monotonic()
        self.core = BrokerCore(
            incarnation=self.incarnation,
            now=now,
            limits=limits,
            epoch=self._clock.wall() - now,
            software=software,
        )
        self._ids = IdSource(self.incarnation, "e")
        self._numbering = Numbering()
        self._events_forwarded = self._events_refused = 0
        self._timer: asyncio.TimerHandle | None = None
        self._backlog_timer: asyncio.TimerHandle | None = None
        self._look_scheduled = False
        self._open = False
        self._taps: set[bytes] = set()

    def open(self) -> None:
        """Bind the three sockets. The caller holds the address lock (`sockets.AddressLock`) before this."""
        self._loop = asyncio.get_running_loop()
        self._owner = sockets.Owner()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = sockets.router(self._context, self._limits)
        self._in = sockets.event_in(self._context, self._limits)
        self._out = sockets.event_out(self._context, self._limits)
        self._router.bind(self.endpoints.commands)
        self._in.bind(self.endpoints.events_in)
        self._out.bind(self.endpoints.events_out)
        self._readers = (
            (self._router, self._read_commands),
            (self._in, self._read_events),
            (self._out, self._read_subscriptions),
        )
        self._open = True
        for socket, read in self._readers:
            self._loop.add_reader(socket.fileno(), read)
        self._in.send(b"\x01")
        if self._door is not None:
            self._open_door(self._door)
        self._on_timer()

    def _open_door(self, door: Door) -> None:
        from nerv.bus.remote.door import House  # not needed, and not loaded, where nobody comes from outside

        house = House(
            core=self.core,
            clock=self._clock,
            ids=self._ids,
            flush=self._flush_and_look,
            forward=self._forward,
            tap_changed=self._on_taps,
        )
        door.open(house, self._context)

    async def close(self) -> None:
        if not self._open:
            return
        self._owner.check()
        self._open = False
        for timer in (self._timer, self._backlog_timer):
            if timer is not None:
                timer.cancel()
        if self._door is not None:
            self._door.close()
        for socket, _ in self._readers:
            self._loop.remove_reader(socket.fileno())
            socket.close()
        await self._loop.run_in_executor(None, self._context.term)

    # -- commands ---------------------------------------------------------------------------------------------

    def _read_commands(self) -> None:
        if not self._open:
            return
        now = self._clock.monotonic()
        router = self._router
        core_receive = self.core.receive
        read = size = 0
        # Asking first is cheaper than the exception that an empty socket raises.
        while read < _READ_AT_ONCE and int(router.getsockopt(_EVENTS)) & _POLLIN:
            read += 1
            frames = router.recv_multipart(_DONTWAIT)
            if len(frames) == 3:
                size += len(frames[2])
                core_receive(frames[0], frames[1], frames[2], now)
            else:
                self.core.malformed(frames[0])
        self._flush()
        if self._more_follows(self._spin.after(now, read, size)):
            self._loop.call_soon(self._read_commands)

    def _more_follows(self, seconds: float) -> bool:
        """Whether there is a message to read; looked for during so many seconds."""
        router, monotonic = self._router, self._clock.monotonic
        until = monotonic() + seconds if seconds else 0.0
        while not int(router.getsockopt(_EVENTS)) & _POLLIN:
            if monotonic() >= until:
                return False
            _give_way()
        return True

    def _flush_and_look(self) -> None:
        """Where nothing is read afterwards: a send may take the wake-up of a message that has just come."""
        self._flush()
        if int(self._router.getsockopt(_EVENTS)) & _POLLIN:
            self._loop.call_soon(self._read_commands)

    def _flush(self) -> None:
        now = self._clock.monotonic()
        if self.core.has_requests:
            answer_requests(self.core, now)
        core = self.core
        for message in core.outgoing():
            if core.backlogged and core.is_backlogged(message[0]):
                core.blocked(message)
            else:
                self._send(message, now)
        for change in self.core.take_changes():
            changed = PeerChanged(
                name=change.name, incarnation=change.incarnation, up=change.up, reason=change.reason
            )
            self.publish(f"peer.{change.name}", changed)
        if self.core.tapping:
            for _, _, bundle in self.core.take_tapped():
                for header in headers(bundle):
                    self.publish(f"{TAP}{header.type}", header)
        if self.core.backlogged and self._backlog_timer is None:
            self._backlog_timer = self._loop.call_later(_BACKLOG_RETRY, self._retry_backlogs)

    def _send(self, message: tuple[bytes, bytes, bytes], now: float) -> None:
        try:
            if self._door is not None and message[0][:1] == _REMOTE:
                self._door.send(message)
                return
            self._router.send(message[0], _DONTWAIT_SNDMORE)
            self._router.send(message[1], _DONTWAIT_SNDMORE)
            self._router.send(message[2], _DONTWAIT)
        except zmq.Again:
            self.core.blocked(message)
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self.core.unreachable(message[0], now)

    def _retry_backlogs(self) -> None:
        self._backlog_timer = None
        if not self._open:
            return
        now = self._clock.monotonic()
        for link in list(self.core.backlogged):
            while link.backlog:
                try:
                    if self._door is not None and link.identity[:1] == _REMOTE:
                        self._door.send((link.identity, *link.backlog[0]))
                    else:
                        self._router.send_multipart((link.identity, *link.backlog[0]), zmq.DONTWAIT)
                except zmq.Again:
                    break
                except zmq.ZMQError as error:
                    if error.errno != zmq.EHOSTUNREACH:
                        raise
                    self.core.unreachable(link.identity, now)
                    break
                link.backlog_bytes -= len(link.backlog.popleft()[1])
            if not link.backlog:
                self.core.backlogged.discard(link)
        self._flush_and_look()

    # -- events -----------------------------------------------------------------------------------------------

    def publish(self, topic: str, message: Message) -> None:
        """An event of the broker itself, source ``bus``."""
        envelope = Envelope(
            id=self._ids.next(),
            kind=Kind.EVENT,
            type=VOCABULARY.of(type(message)).name,
            source=BUS,
            target=BROKER,
            sent_at=self._clock.wall(),
            payload=VOCABULARY.encode(message),
        )
        self._publish_frames((topic.encode(), self._numbering.next(topic), _encode(envelope)))

    def _forward(self, frames: Sequence[bytes]) -> None:
        self._events_forwarded += 1
        self._publish_frames(frames)

    def _publish_frames(self, frames: Sequence[bytes]) -> None:
        if self._door is not None and not self._door.publish(frames):
            self._events_refused += 1
        try:
            self._out.send(frames[0], _DONTWAIT_SNDMORE)
            self._out.send(frames[1], _DONTWAIT_SNDMORE)
            self._out.send(frames[2], _DONTWAIT)
        except zmq.Again:
            self._events_refused += 1
        if not self._look_scheduled:
            self._look_scheduled = True
            self._loop.call_soon(self._read_subscriptions)

    def _read_events(self) -> None:
        if not self._open:
            return
        events = self._in
        for _ in range(_READ_AT_ONCE):
            if not int(events.getsockopt(_EVENTS)) & _POLLIN:
                return
            frames = events.recv_multipart(_DONTWAIT)
            if len(frames) == 3:
                self._events_forwarded += 1
                self._publish_frames(frames)
            else:
                self._events_refused += 1
        self._loop.call_soon(self._read_events)

    def _read_subscriptions(self) -> None:
        self._look_scheduled = False
        while self._open and int(self._out.getsockopt(_EVENTS)) & _POLLIN:
            frame = self._out.recv(_DONTWAIT)
            self._watch_tap(frame)
            if frame[:1] == b"\x01" and frame[1:].startswith(PROBE.encode()):
                probe = Envelope(
                    id=self._ids.next(),
                    kind=Kind.EVENT,
                    type="link.probe",
                    source=BROKER,
                    target=BROKER,
                )
                self._publish_frames((frame[1:], bytes(16), _encode(probe)))

    def _watch_tap(self, frame: bytes) -> None:
        """Tap while there is a subscription to it; one to everything (an empty prefix) is not meant for it."""
        topic = frame[1:]
        if topic and (topic.startswith(TAP.encode()) or TAP.encode().startswith(topic)):
            if frame[:1] == b"\x01":
                self._taps.add(topic)
            else:
                self._taps.discard(topic)
            self._on_taps()

    def _on_taps(self) -> None:
        self.core.tapping = bool(self._taps) or (self._door is not None and self._door.tapped)

    # -- time -------------------------------------------------------------------------------------------------

    def _on_timer(self) -> None:
        if not self._open:
            return
        now = self._clock.monotonic()
        self.core.epoch = self._clock.wall() - now
        self.core.tick(now)
        self._read_commands()
        self._read_events()
        self._read_subscriptions()
        self._timer = self._loop.call_later(_TICK, self._on_timer)

    def statistics(self) -> BrokerStatistics:
        return BrokerStatistics(self.core.counts(), self._events_forwarded, self._events_refused)
