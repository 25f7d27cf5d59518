"""A peer on real sockets: the asyncio shell around `PeerCore`.

pyzmq's file descriptor is edge-triggered and speaks of both directions at once: after each event, and after each
send, the socket must be read until EAGAIN, or a wake-up is lost (pyzmq's own howto warns). A slow safety timer
covers what is still missed. Everything sent in one turn of the loop leaves together at its end.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from threading import get_ident
from typing import NamedTuple

import msgspec
import zmq

from nerv.bus import sockets
from nerv.bus.clock import Clock, SystemClock
from nerv.bus.dispatch import Dispatcher
from nerv.bus.endpoints import Endpoints
from nerv.bus.envelope import Envelope, Incarnation, PeerName, new_incarnation
from nerv.bus.event_socket import BLOCKED_RETRY, EventSocket
from nerv.bus.handlers import CURRENT, HandlerTable
from nerv.bus.limits import DEFAULT_LIMITS, Limits
from nerv.bus.peer_core import LinkState, PeerCore, PeerCounts
from nerv.bus.pending import Pending
from nerv.bus.subscription import Subscription
from nerv.bus.vocabulary import VOCABULARY, Command, Message, R
from nerv.errors import Disconnected, ErrorCode, ErrorInfo, NervError, request_error

DEFAULT_TIMEOUT = 30.0
"""Seconds until a request without outcome raises DeadlineExceeded."""
# As plain integers: pyzmq's flags are enumerations, and combining those costs more than the system call.
_EVENTS, _POLLIN, _POLLOUT = int(zmq.EVENTS), int(zmq.POLLIN), int(zmq.POLLOUT)
_DONTWAIT, _DONTWAIT_SNDMORE = int(zmq.DONTWAIT), int(zmq.DONTWAIT | zmq.SNDMORE)
_HANDSHAKE_FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
_READ_AT_ONCE = 128
_SEND_TRIES = 8
_SAFETY = 1.0


class PeerStatistics(NamedTuple):
    core: PeerCounts
    events_published: int
    events_dropped: int
    events_waiting: int
    events_received: int
    subscriptions: int
    in_flight: int


class Peer:
    """One named peer of the bus, in the event loop that opens it. Requests, handlers, events."""

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        name: str,
        incarnation: Incarnation | None = None,
        kind: str = "client",
        software: str = "",
        window: int = 256,
        handlers: HandlerTable | None = None,
        hold: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        clock: Clock | None = None,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        curve: sockets.Curve | None = None,
    ) -> None:
        """``hold``: commands that arrive wait for :meth:`serve`, because the handlers are not ready yet.

        ``curve``: the key that a broker on TCP asks for.
        """
        self.endpoints = endpoints
        self.name = PeerName(name)
        self.incarnation = incarnation or new_incarnation()
        self.fenced: asyncio.Event = asyncio.Event()
        """Set when a younger incarnation took this name: the process should end."""
        self._clock: Clock = clock or SystemClock()
        self._monotonic = self._clock.monotonic
        self._limits = limits
        self._core = PeerCore(
            name=name,
            incarnation=self.incarnation,
            started_at=self._clock.wall(),
            kind=kind,
            software=software,
            window=window,
            limits=limits,
            epoch=self._clock.wall() - self._monotonic(),
        )
        self._table: HandlerTable = handlers or {}
        self._hold = hold
        self._unsent: deque[tuple[bytes, bytes]] = deque()
        self._given_context = context
        self._curve = curve
        self._unwelcome = False
        self._owner: sockets.Owner = sockets.Nobody()
        self._opened = False
        self._closed = False
        self._up = asyncio.Event()
        self._state = LinkState.DOWN

    # -- life -------------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether the broker knows this peer now."""
        return self._core.state is LinkState.UP

    async def open(self, timeout: float | None = None) -> None:
        """Connect. With ``timeout`` (seconds), wait for the broker's welcome and raise Disconnected without it."""
        if self._opened:
            raise RuntimeError("a peer is opened once")
        self._opened = True
        self._owner = sockets.Owner()
        self._loop = asyncio.get_running_loop()
        self._context = self._given_context or zmq.Context()
        self._dispatcher = Dispatcher(
            self._core,
            self._table,
            monotonic=self._monotonic,
            changed=self._schedule_flush,
            hold=self._hold,
        )
        self._flush_scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        # On TCP the broker gives each connection an id of its own: one that a peer chooses could be taken by another.
        local = self.endpoints.commands.startswith("ipc:")
        identity = f"{self.name}@{self.incarnation}".encode() if local else b""
        self._dealer = sockets.dealer(self._context, self._limits, identity)
        self._monitor = self._dealer.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | _HANDSHAKE_FAILED
        )
        self._readers = (
            (self._dealer, self._read_commands),
            (self._monitor, self._read_monitor),
        )
        for socket, read in self._readers:
            self._loop.add_reader(socket.fileno(), read)
        if self._curve is not None:
            self._curve.protect(self._dealer)
        self._dealer.connect(self.endpoints.commands)
        self._event_socket = EventSocket(
            self._context,
            self.endpoints,
            name=self.name,
            incarnation=self.incarnation,
            limits=self._limits,
            clock=self._clock,
            curve=self._curve,
        )
        self._on_timer()
        if timeout is not None:
            await self.wait_connected(timeout)

    async def wait_connected(self, timeout: float) -> None:
        """Wait for the broker's welcome; raises Disconnected."""
        try:
            async with asyncio.timeout(timeout):
                await self._up.wait()
        except TimeoutError:
            if self._unwelcome:
                raise Disconnected(_no_handshake(self.endpoints.commands)) from None
            raise Disconnected(
                ErrorInfo(
                    code=ErrorCode.DISCONNECTED,
                    reason=f"no broker answered at {self.endpoints.commands} within {timeout:g} s",
                    fix="is the cluster running? `nerv up` starts it, `nerv status` shows it",
                )
            ) from None
        if self._core.fenced is not None:
            raise Disconnected(self._core.fenced)

    def serve(self) -> None:
        """Let the handlers begin (only where the peer was made with ``hold``)."""
        self._dispatcher.serve()
        self._schedule_flush()

    async def drain(self, timeout: float) -> bool:
        """Take no further commands and wait for the handlers that run; False if ``timeout`` ran out first."""
        self._core.drain(self._monotonic())
        self._schedule_flush()
        try:
            async with asyncio.timeout(timeout):
                await self._dispatcher.drained()
        except TimeoutError:
            return False
        return True

    async def close(self, reason: str = "") -> None:
        """Say BYE and close the sockets. Pending requests raise Disconnected. Idempotent."""
        if self._opened:
            self._owner.check()
        if self._closed or not self._opened:
            self._closed = True
            return
        self._closed = True
        self._event_socket.end_subscriptions()
        await self._dispatcher.close()
        self._core.bye(self._monotonic(), reason)
        self._flush()
        if self._timer is not None:
            self._timer.cancel()
        gone = ErrorInfo(code=ErrorCode.DISCONNECTED, reason=f"{self.name!r} has left the bus")
        self._core.fence(gone)
        self._resolve_outcomes()
        for socket, _ in self._readers:
            self._loop.remove_reader(socket.fileno())
        # LINGER 0 would throw away the BYE that was just queued: give the I/O thread a moment to write it.
        linger = 100 if self._core.broker else 0
        self._event_socket.close(linger=linger)
        self._dealer.setsockopt(zmq.LINGER, linger)
        self._dealer.disable_monitor()
        for socket, _ in self._readers:
            socket.close()
        if self._given_context is None:
            await self._loop.run_in_executor(None, self._context.term)

    # -- requests ---------------------------------------------------------------------------------------------

    async def request(
        self,
        target: str,
        message: Command[R],
        *,
        timeout: float = DEFAULT_TIMEOUT,
        correlation: str | None = None,
        cause: Envelope | None = None,
        attempt: int = 1,
    ) -> R:
        """The typed reply of ``target``.

        Raises RemoteError (it refused or failed), Busy, Undeliverable, DeadlineExceeded (after ``timeout`` seconds)
        or Disconnected. Within a handler, correlation and trace of the command in hand go on.
        """
        name, payload = VOCABULARY.encode_named(message)
        pending = self._begin(target, name, payload, timeout, correlation, cause, attempt)
        try:
            await pending.waiter
        except asyncio.CancelledError:
            self._core.abandon(pending)
            raise
        answer = pending.answer
        if answer is None:
            raise _error_of(pending)
        return VOCABULARY.decode_reply(message, answer.type, answer.payload)

    async def request_envelope(
        self,
        target: str,
        type_name: str,
        payload: msgspec.Raw,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        correlation: str | None = None,
        cause: Envelope | None = None,
        attempt: int = 1,
    ) -> Envelope:
        """Like :meth:`request`, with the payload already encoded and the whole reply envelope returned."""
        pending = self._begin(target, type_name, payload, timeout, correlation, cause, attempt)
        try:
            await pending.waiter
        except asyncio.CancelledError:
            self._core.abandon(pending)
            raise
        if pending.answer is None:
            raise _error_of(pending)
        return pending.answer

    def _begin(
        self,
        target: str,
        type_name: str,
        payload: msgspec.Raw,
        timeout: float,
        correlation: str | None,
        cause: Envelope | None,
        attempt: int,
    ) -> Pending:
        """Hand a command to the core; ``waiter`` of what comes back is a future of its outcome."""
        if get_ident() != self._owner.thread:
            self._owner.check()
        if cause is None:
            cause = CURRENT.get()
        if cause is None:
            led_by, trace, conversation = "", "", correlation or ""
        else:
            led_by, trace, conversation = cause.id, cause.trace, correlation or cause.correlation
            if conversation != cause.correlation:
                trace = ""  # it goes on with the work of another request: that one's trace
        pending = self._core.request(
            target,
            type_name,
            payload,
            now=self._monotonic(),
            timeout=timeout,
            correlation=conversation,
            causation=led_by,
            trace=trace,
            attempt=attempt,
        )
        pending.waiter = self._loop.create_future()
        if pending.done:
            self._resolve_outcomes()
        elif not self._flush_scheduled:
            self._schedule_flush()
        return pending

    # -- events -----------------------------------------------------------------------------------------------

    def publish(self, topic: str, message: Message, *, correlation: str = "") -> None:
        """Publish an event to whoever subscribes to a prefix of ``topic``. Never blocks; at most once.

        Raises NervError TOO_LARGE: a larger one would end the connection.
        """
        self._owner.check()
        self._event_socket.publish(topic, message, correlation=correlation)

    def subscribe(self, *topics: str, capacity: int = 1024) -> Subscription:
        """Events of topics that begin with one of ``topics``. ``async with`` waits until it is in force."""
        if not topics:
            raise ValueError("subscribe to at least one topic; an empty text means all of them")
        self._owner.check()
        return self._event_socket.subscribe(topics, capacity)

    # -- reading ----------------------------------------------------------------------------------------------

    def _read_commands(self) -> None:
        if self._closed:
            return
        now = self._monotonic()
        dealer = self._dealer
        for _ in range(_READ_AT_ONCE):
            # Asking first is cheaper than the exception that an empty socket raises.
            if not int(dealer.getsockopt(_EVENTS)) & _POLLIN:
                break
            frames = dealer.recv_multipart(_DONTWAIT)
            if len(frames) == 2:
                self._core.receive(frames[0], frames[1], now)
        else:
            self._loop.call_soon(self._read_commands)
        self._settle()

    def _settle(self) -> None:
        """Hand on what the core gathered."""
        for command in self._core.take_deliveries():
            self._dispatcher.dispatch(command)
        self._resolve_outcomes()
        if self._core.state is not self._state:
            self._on_state(self._core.state)
        if not self._flush_scheduled and self._core.wants_to_send():
            self._flush()
            self._arm()

    def _on_state(self, state: LinkState) -> None:
        self._state = state
        if state is LinkState.UP:
            self._event_socket.limits = self._core.limits
            self._up.set()
        elif state is LinkState.FENCED:
            self.fenced.set()
            self._up.set()
        else:
            self._up.clear()

    def _resolve_outcomes(self) -> None:
        for pending in self._core.take_outcomes():
            waiter = pending.waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    def _read_monitor(self) -> None:
        now = self._monotonic()
        while not self._closed:
            try:
                frames = self._monitor.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                break
            (event,) = struct.unpack_from("=H", frames[0])
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._core.link_up(now)
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self._core.fence(_key_refused(self.endpoints.commands))
            elif event & _HANDSHAKE_FAILED:
                self._unwelcome = True
            elif event == zmq.EVENT_DISCONNECTED:
                self._unsent.clear()
                self._core.link_down(now)
        if not self._closed:
            self._settle()

    # -- writing ----------------------------------------------------------------------------------------------

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled and self._opened:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush_in_turn)

    def _flush_in_turn(self) -> None:
        self._flush_scheduled = False
        if not self._closed:
            self._flush()
            self._arm()

    def _flush(self) -> None:
        dealer = self._dealer
        unsent = self._unsent
        if unsent and self._core.state is not LinkState.UP:
            unsent.clear()  # only the newest HELLO matters; without a broker they would pile up
        unsent.extend(self._core.outgoing(self._monotonic()))
        for _ in range(_SEND_TRIES):
            try:
                while unsent:
                    target, bundle = unsent[0]
                    dealer.send(target, _DONTWAIT_SNDMORE)
                    dealer.send(bundle, _DONTWAIT)
                    unsent.popleft()
            except zmq.Again:
                pass  # what was not taken stays first in line; `_arm` tries again soon
            events = int(dealer.getsockopt(_EVENTS))
            # A send may overlook a connection made within the last millisecond; asking does not.
            if not unsent or not events & _POLLOUT:
                break
        if events & _POLLIN:
            self._loop.call_soon(self._read_commands)

    # -- time -------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        due = self._core.next_due()
        now = self._loop.time()
        wait = _SAFETY if due is None else max(0.0, min(_SAFETY, due - self._monotonic()))
        if self._unsent and self._core.state is LinkState.UP:
            wait = min(wait, BLOCKED_RETRY)
        if self._timer is not None:
            if self._timer_due <= now + wait + 0.001 and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._timer_due = now + wait
        self._timer = self._loop.call_later(wait, self._on_timer)

    def _on_timer(self) -> None:
        if self._closed:
            return
        self._timer = None
        self._core.epoch = self._clock.wall() - self._monotonic()
        self._core.tick(self._monotonic())
        self._read_commands()
        self._read_monitor()
        self._event_socket.look()
        self._flush()
        self._arm()

    @property
    def in_flight(self) -> int:
        """Handlers that run or wait for their turn."""
        return self._dispatcher.in_flight if self._opened else 0

    def statistics(self) -> PeerStatistics:
        """Raises RuntimeError before `open`."""
        self._owner.check()
        events = self._event_socket
        return PeerStatistics(
            core=self._core.counts(),
            events_published=events.published,
            events_dropped=events.dropped,
            events_waiting=events.waiting,
            events_received=events.received,
            subscriptions=events.subscriptions,
            in_flight=self.in_flight,
        )


def _key_refused(address: str) -> ErrorInfo:
    return ErrorInfo(
        code=ErrorCode.FORBIDDEN,
        reason=f"the broker at {address} does not know this key",
        field="key_file",
        fix="it may have been revoked: `nerv key ls` there; `nerv key new NAME` makes another",
    )


def _no_handshake(address: str) -> ErrorInfo:
    return ErrorInfo(
        code=ErrorCode.DISCONNECTED,
        reason=f"the broker at {address} and this client could not agree on encryption",
        field="key_file",
        fix="give the key file that was made there (`nerv key new`); without keys it must have plain_loopback",
    )


def _error_of(pending: Pending) -> NervError:
    """The exception for a request that has no answer."""
    return request_error(
        pending.error or ErrorInfo(code=ErrorCode.CANCELLED, reason="the request was abandoned")
    )
