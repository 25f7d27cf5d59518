"""The whole bus in memory, with a clock that only moves when told to and faults from a seed. For tests; public.

The broker and the peers are the real cores; only the sockets between them are simulated. The same seed and the same
calls give the same run, so a failing seed can be replayed.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec

from nerv.bus.broker_core import BrokerCore
from nerv.bus.clock import VirtualClock
from nerv.bus.envelope import Envelope, Incarnation
from nerv.bus.handlers import CURRENT
from nerv.bus.limits import DEFAULT_LIMITS, Limits
from nerv.bus.peer_core import PeerCore
from nerv.bus.pending import Pending
from nerv.bus.vocabulary import VOCABULARY, Message
from nerv.errors import ErrorInfo

LATENCY = 0.0005
"""Seconds a message travels when nothing goes wrong."""


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """Probabilities per message. ``delay``: up to so many seconds more, which also changes the order."""

    drop: float = 0.0
    duplicate: float = 0.0
    delayed: float = 0.0
    delay: float = 0.0


NO_FAULTS = Faults()

Answer = Message | ErrorInfo
"""What a handler gives back: a reply, or an error."""
Handle = Callable[[Envelope], Answer]


@dataclass(kw_only=True)
class Outcome:
    """A request and, once ``done``, exactly one of ``answer`` and ``error``."""

    pending: Pending

    @property
    def done(self) -> bool:
        return self.pending.done

    @property
    def answer(self) -> Envelope | None:
        return self.pending.answer

    @property
    def error(self) -> ErrorInfo | None:
        return self.pending.error


class MemoryPeer:
    """One name on the memory bus; `MemoryBus.kill` and `revive` give it new incarnations."""

    def __init__(self, bus: MemoryBus, name: str, handle: Handle | None, window: int, work: float) -> None:
        self.name = name
        self.handle = handle
        self.window = window
        self.work = work
        """Seconds of virtual time that a handler takes."""
        self.handled: list[Envelope] = []
        """Every command handed to the handler, in all lives."""
        self.lives = 0
        self.alive = False
        self.paused = False
        self.unread: list[Callable[[], None]] = []
        """What came while it was paused, in order."""
        self.cut = False
        self._bus = bus
        self.core: PeerCore
        self.identity = b""

    def request(self, target: str, message: Message, *, timeout: float = 30.0) -> Outcome:
        """Within a handler, correlation, causation and trace of the command in hand go on, as on real sockets."""
        entry = VOCABULARY.of(type(message))
        now = self._bus.clock.monotonic()
        cause = CURRENT.get()
        pending = self.core.request(
            target,
            entry.name,
            VOCABULARY.encode(message),
            now=now,
            timeout=timeout,
            correlation=cause.correlation if cause is not None else "",
            causation=cause.id if cause is not None else "",
            trace=cause.trace if cause is not None else "",
        )
        self._bus.flush(self)
        return Outcome(pending=pending)


class MemoryBus:
    """A broker, some peers, a clock, and a source of trouble."""

    def __init__(self, *, seed: int = 0, faults: Faults = NO_FAULTS, limits: Limits = DEFAULT_LIMITS) -> None:
        self.clock = VirtualClock()
        self.faults = faults
        self.limits = limits
        self.peers: dict[str, MemoryPeer] = {}
        self._random = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._arrivals: dict[tuple[bytes, bool], float] = {}
        self._by_identity: dict[bytes, MemoryPeer] = {}
        self._broker_lives = 0
        self._next_ticks: dict[str, float] = {}
        self.broker: BrokerCore | None = None
        self.start_broker()

    # -- the actors of the play -------------------------------------------------------------------------------

    def start_broker(self) -> None:
        """A new life of the broker. All peers reconnect."""
        self._broker_lives += 1
        now = self.clock.monotonic()
        self.broker = BrokerCore(
            incarnation=Incarnation(f"broker{self._broker_lives}"),
            now=now,
            limits=self.limits,
            epoch=self.clock.wall() - now,
        )
        for peer in self.peers.values():
            if peer.alive and not peer.cut:
                peer.core.link_up(now)
                self.flush(peer)

    def stop_broker(self) -> None:
        """kill -9: whatever was on its way is lost."""
        self.broker = None
        for peer in self.peers.values():
            if peer.alive:
                peer.core.link_down(self.clock.monotonic())

    def add(
        self, name: str, handle: Handle | None = None, *, window: int = 256, work: float = 0.0
    ) -> MemoryPeer:
        """A peer; ``handle`` answers its commands, taking ``work`` seconds for each."""
        peer = self.peers[name] = MemoryPeer(self, name, handle, window, work)
        self.revive(name)
        return peer

    def kill(self, name: str) -> None:
        """kill -9 of a peer: its memory is gone, its connection closes."""
        peer = self.peers[name]
        peer.alive = False

    def revive(self, name: str) -> None:
        """A new incarnation of a peer."""
        peer = self.peers[name]
        peer.lives += 1
        peer.alive, peer.cut, peer.paused = True, False, False
        peer.unread.clear()
        now = self.clock.monotonic()
        peer.core = PeerCore(
            name=name,
            incarnation=Incarnation(f"{name}{peer.lives}"),
            started_at=self.clock.wall(),
            kind="actor",
            window=peer.window,
            limits=self.limits,
            epoch=self.clock.wall() - now,
        )
        peer.identity = f"{name}@{peer.lives}".encode()
        self._by_identity[peer.identity] = peer
        if self.broker is not None:
            peer.core.link_up(now)
        self.flush(peer)

    def cut(self, name: str) -> None:
        """The connection breaks, and stays broken until `heal`."""
        peer = self.peers[name]
        peer.cut = True
        if peer.alive:
            peer.core.link_down(self.clock.monotonic())

    def heal(self, name: str) -> None:
        peer = self.peers[name]
        if peer.cut:
            peer.cut = False
            if peer.alive and self.broker is not None:
                peer.core.link_up(self.clock.monotonic())
                self.flush(peer)

    def pause(self, name: str) -> None:
        """SIGSTOP: it neither reads nor writes; what is sent to it waits in its socket."""
        self.peers[name].paused = True

    def resume(self, name: str) -> None:
        peer = self.peers[name]
        peer.paused = False
        unread, peer.unread = peer.unread, []
        for read in unread:
            read()
        self._after(0.0, lambda: self._turn(peer))

    # -- time -------------------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let this much time pass."""
        self.run_until(lambda: False, seconds)

    def run_until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Let time pass until the condition holds; False if ``timeout`` seconds passed first."""
        end = self.clock.monotonic() + timeout
        while not condition():
            due = min([self._events[0][0]] if self._events else [end])
            step = min(due, self._next_timer(), end)
            self.clock.advance(max(0.0, step - self.clock.monotonic()))
            now = self.clock.monotonic()
            while self._events and self._events[0][0] <= now:
                heapq.heappop(self._events)[2]()
            self._tick()
            if now >= end:
                return condition()
        return True

    def _next_timer(self) -> float:
        now = self.clock.monotonic()
        times = [now + 0.1]
        for peer in self.peers.values():
            if peer.alive and not peer.paused:
                due = peer.core.next_due()
                if due is not None:
                    times.append(max(now + 0.001, due))
        return min(times)

    def _tick(self) -> None:
        now = self.clock.monotonic()
        for peer in self.peers.values():
            if peer.alive and not peer.paused:
                due = peer.core.next_due()
                if due is not None and due <= now:
                    peer.core.tick(now)
                    self._turn(peer)
        if self.broker is not None:
            self.broker.tick(now)
            self._flush_broker()

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._at(self.clock.monotonic() + seconds, action)

    def _at(self, when: float, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (when, self._order, action))

    # -- the wire ---------------------------------------------------------------------------------------------

    def _arrival_times(self, link: tuple[bytes, bool]) -> list[float]:
        """When a message arrives: never, once, twice; in order unless it is one of the delayed."""
        faults, now = self.faults, self.clock.monotonic()
        if self._random.random() < faults.drop:
            return []
        copies = 2 if self._random.random() < faults.duplicate else 1
        times: list[float] = []
        for _ in range(copies):
            if self._random.random() < faults.delayed:
                times.append(now + LATENCY + self._random.random() * faults.delay)
            else:
                when = max(now + LATENCY, self._arrivals.get(link, 0.0))
                self._arrivals[link] = when
                times.append(when)
        return times

    def flush(self, peer: MemoryPeer) -> None:
        """Put on the wire what a peer wants to send."""
        if not peer.alive or peer.paused:
            return
        identity, broker = peer.identity, self.broker
        for target, bundle in peer.core.outgoing(self.clock.monotonic()):
            if broker is None or peer.cut:
                continue
            for when in self._arrival_times((identity, True)):
                self._at(when, partial(self._at_broker, broker, peer, identity, target, bundle))

    def _at_broker(
        self, broker: BrokerCore, peer: MemoryPeer, identity: bytes, target: bytes, bundle: bytes
    ) -> None:
        if self.broker is broker and not (peer.cut and peer.identity == identity):
            broker.receive(identity, target, bundle, self.clock.monotonic())
            self._flush_broker()

    def _flush_broker(self) -> None:
        broker = self.broker
        if broker is None:
            return
        now = self.clock.monotonic()
        for identity, source, bundle in broker.outgoing():
            peer = self._by_identity[identity]
            if peer.identity != identity or not peer.alive or peer.cut:
                broker.unreachable(identity, now)
                continue
            for when in self._arrival_times((identity, False)):
                self._at(when, partial(self._at_peer, broker, peer, identity, source, bundle))
        broker.take_changes()

    def _at_peer(
        self, broker: BrokerCore, peer: MemoryPeer, identity: bytes, source: bytes, bundle: bytes
    ) -> None:
        if peer.identity != identity or not peer.alive or peer.cut or self.broker is not broker:
            return
        if peer.paused:
            peer.unread.append(partial(self._at_peer, broker, peer, identity, source, bundle))
            return
        peer.core.receive(source, bundle, self.clock.monotonic())
        self._turn(peer)

    def _turn(self, peer: MemoryPeer) -> None:
        """One turn of a peer's loop: handle, answer, send."""
        if not peer.alive or peer.paused:
            return
        core = peer.core
        for command in core.take_deliveries():
            peer.handled.append(command)
            self._after(peer.work, partial(self._answer, peer, core, command))
        core.take_outcomes()
        self.flush(peer)

    def _answer(self, peer: MemoryPeer, core: PeerCore, command: Envelope) -> None:
        if peer.core is not core or not peer.alive:
            return
        if peer.paused:
            self._after(0.05, lambda: self._answer(peer, core, command))
            return
        if peer.handle is None:
            raise AssertionError(f"{peer.name!r} has no handler and got {command.type!r}")
        token = CURRENT.set(command)
        try:
            answer = peer.handle(command)
        finally:
            CURRENT.reset(token)
        now = self.clock.monotonic()
        if isinstance(answer, ErrorInfo):
            core.fail(command, answer, now)
        else:
            core.reply(command, VOCABULARY.of(type(answer)).name, VOCABULARY.encode(answer), now)
        self.flush(peer)
