"""The broker's door to the network: TCP sockets, beside the local ones, through which nothing passes unexamined.

Sockets of their own, so that what local peers send stays unexamined and fast, and so that everybody outside can be
cut off in one stroke: libzmq cannot end one connection of a socket, but a socket that is closed and bound again
drops all, and who still has a good key is back within a tenth of a second.

- Each message carries the user id that ZAP gave its connection, so a role is not claimed but proved.
- ROUTER_HANDOVER is off: nobody can take over another's connection by choosing its routing id.
- XPUB_MANUAL: a subscription takes force only when, and as far as, the role of its key allows.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import zmq
from zmq.utils import z85

from nerv.bus import sockets
from nerv.bus.broker_core import BrokerCore
from nerv.bus.clock import Clock
from nerv.bus.envelope import BROKER, Envelope, IdSource, Kind
from nerv.bus.events import PROBE
from nerv.bus.limits import Limits
from nerv.bus.remote import zap
from nerv.bus.remote.audit import Audit
from nerv.bus.remote.keys import PLAIN, KeyRing, KnownKey
from nerv.bus.remote.rules import Caller, TopicRules, examine, topic_refused
from nerv.bus.remote.settings import Listen
from nerv.bus.vocabulary import VOCABULARY, Role
from nerv.errors import ConfigurationError, ErrorCode, ErrorInfo, invalid

MARK = b"\xff"
"""Before the routing id of a remote peer, so that the core can tell it from a local one of the same id."""
LOOK_SECONDS = 0.2
"""How often the list of keys is looked at: a revoked key is out within this time and a rebinding."""
FAREWELL_MS = 200
"""How long a socket that closes may take to write its last messages."""
REFUSED_KEPT = 1024
_READ_AT_ONCE = 128
_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)
_DONTWAIT = int(zmq.DONTWAIT)
_MAY_PASS = frozenset({zmq.EADDRINUSE, zmq.EADDRNOTAVAIL, errno.ENODEV})
"""Another program has the port, or the network is not there yet: no reason to keep the local bus from starting."""
_SILENT_TRIES = 10
"""Binding again right after closing fails for a moment: the system takes the port back a little later."""
_RETRY_SECONDS = 0.05
_HANDSHAKE_MS = 5000
_HEARTBEAT_MS, _HEARTBEAT_TIMEOUT_MS = 2000, 6000

_log = logging.getLogger("nerv.bus")
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, kw_only=True)
class House:
    """What the door needs of the broker behind it."""

    core: BrokerCore
    clock: Clock
    ids: IdSource
    flush: Callable[[], None]
    """Send what the core wants to send."""
    forward: Callable[[Sequence[bytes]], None]
    """Publish an event to everybody, inside and outside."""
    tap_changed: Callable[[], None]


class Door:
    """From `open` to `close`. What it owns: three TCP sockets, the ZAP socket, the audit file."""

    def __init__(self, listen: Listen, *, keys: KeyRing, audit: Audit, limits: Limits) -> None:
        self._listen = listen
        self._keys = keys
        self._audit = audit
        self._limits = limits
        self._topics = TopicRules(VOCABULARY)
        self._known: dict[str, KnownKey] = {}
        self._names: dict[bytes, str] = {}
        self._mark: object = object()
        self._taps: Counter[bytes] = Counter()
        self.tapped = False
        """Somebody outside watches a tap."""
        self._unseen: OrderedDict[str, list[str]] = OrderedDict()
        self._readers: tuple[tuple[zmq.Socket[bytes], Callable[[], None]], ...] = ()
        self._zap: zmq.Socket[bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tries = 0
        self._closed = False

    # -- life -------------------------------------------------------------------------------------------------

    def open(self, house: House, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        """Bind. A port that another program has is tried again; raises ConfigurationError for an unusable key."""
        self._house = house
        self._context = context
        self._loop = asyncio.get_running_loop()
        if self._listen.plain_role is None:
            self._server = self._keys.server()
            self._load_keys()
            self._zap = context.socket(zmq.ROUTER)
            self._zap.setsockopt(zmq.LINGER, 0)
            self._zap.bind(zap.ENDPOINT)
            self._loop.add_reader(self._zap.fileno(), self._read_zap)
        self._bind(first=True)
        self._on_timer()

    def close(self) -> None:
        """Close the sockets; the context's own end waits until the last words are written."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._unbind()
        if self._zap is not None:
            self._loop.remove_reader(self._zap.fileno())
            self._zap.close()
        self._audit.close()

    def _bind(self, *, first: bool = False) -> None:
        router = sockets.remote_router(self._context, self._limits)
        events_in = sockets.event_in(self._context, self._limits)
        events_out = sockets.remote_event_out(self._context, self._limits)
        endpoints = self._listen.endpoints
        made = (
            (router, endpoints.commands),
            (events_in, endpoints.events_in),
            (events_out, endpoints.events_out),
        )
        try:
            for socket, address in made:
                self._protect(socket)
                socket.bind(address)
        except zmq.ZMQError as error:
            for socket, _ in made:
                socket.close()
            if first and error.errno not in _MAY_PASS:
                raise ConfigurationError(
                    invalid(
                        f"cannot listen at {endpoints.commands}: {error}", field="actor.bus.settings.listen"
                    )
                ) from None
            self._tries += 1
            if self._tries == 1 + _SILENT_TRIES or self._tries % 300 == 0:
                _log.warning("cannot listen at %s: %s; trying on", endpoints.commands, error)
            return
        self._tries = 0
        self._router, self._in, self._out = router, events_in, events_out
        self._readers = (
            (router, self._read_commands),
            (events_in, self._read_events),
            (events_out, self._read_subscriptions),
        )
        for socket, read in self._readers:
            self._loop.add_reader(socket.fileno(), read)
        events_in.send(b"\x01")

    def _protect(self, socket: zmq.Socket[bytes]) -> None:
        socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _HEARTBEAT_TIMEOUT_MS)
        if self._listen.ipv6:
            socket.setsockopt(zmq.IPV6, 1)
        if self._listen.plain_role is None:
            socket.setsockopt(zmq.ZAP_DOMAIN, zap.DOMAIN)
            socket.setsockopt(zmq.CURVE_SERVER, 1)
            socket.setsockopt(zmq.CURVE_SECRETKEY, self._server.secret.encode())

    def _unbind(self) -> None:
        for socket, _ in self._readers:
            self._loop.remove_reader(socket.fileno())
            socket.setsockopt(zmq.LINGER, FAREWELL_MS)
            socket.close()
        self._readers = ()
        self._taps.clear()
        self._unseen.clear()
        self.tapped = False

    @property
    def bound(self) -> bool:
        return bool(self._readers)

    # -- who may come in --------------------------------------------------------------------------------------

    def _load_keys(self) -> None:
        """Take over the list of keys; a file that does not decode changes nothing, and is complained of once."""
        mark = self._keys.mark()
        if mark == self._mark:
            return
        self._mark = mark
        try:
            known = self._keys.known()
        except ConfigurationError as error:
            _log.error("the list of keys is unusable, the last good one holds: %s", error)
            return
        before, self._known = self._known, known
        self._names = {z85.decode(key.public): name for name, key in known.items()}
        gone = [name for name, key in before.items() if known.get(name) != key]
        if gone:
            self._cut_off(gone)

    def _cut_off(self, names: list[str]) -> None:
        """Tell the peers of these keys, then drop every connection: the others greet again."""
        now = self._house.clock.monotonic()
        core = self._house.core
        for name in names:
            info = ErrorInfo(
                code=ErrorCode.FORBIDDEN,
                reason=f"the key {name!r} was revoked or changed",
                fix="ask for a new one: nerv key new",
            )
            self._audit.refused(self._house.clock.wall(), "revoked", info, key=name)
            for link in [link for link in core.links() if link.identity[:1] == MARK]:
                if link.name.startswith(f"{name}."):
                    core.ban(link.identity, info, now)
        self._house.flush()
        for link in [link for link in core.links() if link.identity[:1] == MARK]:
            core.unreachable(link.identity, now)
        self._house.flush()
        self._unbind()
        self._house.tap_changed()
        self._bind()

    def _read_zap(self) -> None:
        if self._zap is None or self._closed:
            return
        while int(self._zap.getsockopt(_EVENTS)) & _POLLIN:
            reply, refusal = zap.answer(self._zap.recv_multipart(_DONTWAIT), self._who_has)
            if refusal is not None:
                error = ErrorInfo(code=ErrorCode.FORBIDDEN, reason=refusal)
                self._audit.refused(self._house.clock.wall(), "connect", error, key="")
            if reply:
                self._zap.send_multipart(reply, _DONTWAIT)

    def _who_has(self, public: bytes) -> str | None:
        self._load_keys()  # a key that was made a moment ago is good at once
        return self._names.get(public)

    def _caller(self, frame: zmq.Frame) -> Caller | None:
        """None: the key is no longer known."""
        if self._listen.plain_role is not None:
            return Caller(PLAIN, self._listen.plain_role)
        name = str(frame.get("User-Id"))
        known = self._known.get(name)
        return Caller(name, known.rank) if known is not None else None

    # -- commands ---------------------------------------------------------------------------------------------

    def _read_commands(self) -> None:
        if not self.bound:
            return
        router = self._router
        for _ in range(_READ_AT_ONCE):
            if router.closed or not int(router.getsockopt(_EVENTS)) & _POLLIN:
                break
            self._receive(router.recv_multipart(_DONTWAIT, copy=False))
        else:
            self._loop.call_soon(self._read_commands)
        self._house.flush()

    def _receive(self, frames: list[zmq.Frame]) -> None:
        now, core = self._house.clock.monotonic(), self._house.core
        identity = MARK + frames[0].bytes
        if len(frames) != 3:
            core.malformed(identity)
            return
        caller = self._caller(frames[2])
        if caller is None:
            return
        target, bundle = frames[1].bytes, frames[2].bytes
        if caller.role >= Role.ADMIN:
            core.receive(identity, target, bundle, now)
            return
        verdict = examine(caller, target, bundle, VOCABULARY, most=core.limits.bundle_most)
        if verdict.banned is not None:
            self._record(caller, "name", verdict.banned, subject=verdict.banned.field or "")
            core.ban(identity, verdict.banned, now)
        elif verdict.malformed is not None:
            core.malformed(identity, verdict.malformed)
        if verdict.bundle is not None:
            core.receive(identity, target, verdict.bundle, now)
        for envelope, error in verdict.refusals:
            self._audit.refused(
                self._house.clock.wall(),
                "command",
                error,
                key=caller.key,
                role=caller.role.name.lower(),
                subject=envelope.type,
                peer=envelope.source,
                target=envelope.target,
                id=envelope.id,
                correlation=envelope.correlation,
            )
            core.refuse(identity, envelope, error, now)

    def _record(self, caller: Caller, what: str, error: ErrorInfo, *, subject: str) -> None:
        self._audit.refused(
            self._house.clock.wall(),
            what,
            error,
            key=caller.key,
            role=caller.role.name.lower(),
            subject=subject,
        )

    def send(self, message: tuple[bytes, bytes, bytes]) -> None:
        """To a remote peer; raises what a ROUTER raises (Again, EHOSTUNREACH)."""
        if not self.bound:
            raise zmq.ZMQError(zmq.EHOSTUNREACH)
        self._router.send_multipart((message[0][1:], message[1], message[2]), _DONTWAIT)
        if int(self._router.getsockopt(_EVENTS)) & _POLLIN:
            self._loop.call_soon(self._read_commands)

    # -- events -----------------------------------------------------------------------------------------------

    def _read_events(self) -> None:
        """Only a key of role admin may publish: who could forge an event could mislead every actor."""
        if not self.bound:
            return
        for _ in range(_READ_AT_ONCE):
            if not int(self._in.getsockopt(_EVENTS)) & _POLLIN:
                return
            frames = self._in.recv_multipart(_DONTWAIT, copy=False)
            caller = self._caller(frames[-1])
            if caller is None or len(frames) != 3:
                continue
            if caller.role >= Role.ADMIN:
                self._house.forward([frame.bytes for frame in frames])
            else:
                error = ErrorInfo(code=ErrorCode.FORBIDDEN, reason=f"{caller.key!r} may not publish events")
                topic = frames[0].bytes[:255].decode("utf-8", "replace")
                self._record(caller, "publish", error, subject=topic)
        self._loop.call_soon(self._read_events)

    def publish(self, frames: Sequence[bytes]) -> bool:
        """An event for whoever may see it; False if it was refused by the socket."""
        if self.bound:
            try:
                self._out.send_multipart(frames, _DONTWAIT)
            except zmq.Again:
                return False
            if int(self._out.getsockopt(_EVENTS)) & _POLLIN:
                self._loop.call_soon(self._read_subscriptions)
        return True

    def _read_subscriptions(self) -> None:
        while self.bound and int(self._out.getsockopt(_EVENTS)) & _POLLIN:
            frame = self._out.recv(_DONTWAIT, copy=False)
            data = frame.bytes
            if data[:1] == b"\x01":
                self._on_subscribe(frame, data[1:])
            elif data[:1] == b"\x00":
                self._on_unsubscribe(data[1:])

    def _on_subscribe(self, frame: zmq.Frame, topic: bytes) -> None:
        caller = self._caller(frame)
        if caller is None:
            return
        prefix = topic.decode("utf-8", "replace")
        granted = self._topics.granted(caller.role, prefix)
        for each in granted:
            self._out.setsockopt(zmq.SUBSCRIBE, each.encode())
        connection = str(frame.get("__fd"))
        if prefix.startswith(PROBE):
            self._answer_probe(caller, topic, self._unseen.pop(connection, []))
            return
        if not granted:
            error = topic_refused(caller, prefix)
            self._record(caller, "subscribe", error, subject=prefix[:255])
            self._unseen.setdefault(connection, []).append(prefix)
            if len(self._unseen) > REFUSED_KEPT:
                self._unseen.popitem(last=False)
        if topic.startswith(b"tap.") or (topic and b"tap.".startswith(topic)):
            self._taps[topic] += 1
            if any(each.startswith("tap.") for each in granted) or (granted and caller.role >= Role.ADMIN):
                self.tapped = True
                self._house.tap_changed()

    def _on_unsubscribe(self, topic: bytes) -> None:
        """A whole class stays subscribed until the connection ends: two prefixes may both have led to it.

        The subscriber's own socket drops what it no longer asks for. Of a connection that ended, libzmq tells its
        subscriptions too, the refused ones among them.
        """
        if topic.rstrip(b".").count(b"."):
            self._out.setsockopt(zmq.UNSUBSCRIBE, topic)
        if topic in self._taps:
            self._taps[topic] -= 1
            self._taps += Counter()
            if not self._taps:
                self.tapped = False
                self._house.tap_changed()

    def _answer_probe(self, caller: Caller, topic: bytes, refused: list[str]) -> None:
        """An ERROR in place of the probe's event tells which subscriptions of that connection are not in force."""
        kind, payload, type_name = Kind.EVENT, msgspec.Raw(b"\xc0"), "link.probe"
        if refused:
            error = topic_refused(caller, ", ".join(sorted(set(refused))))
            kind, payload, type_name = Kind.ERROR, msgspec.Raw(_encode(error)), "error"
        probe = Envelope(
            id=self._house.ids.next(),
            kind=kind,
            type=type_name,
            source=BROKER,
            target=BROKER,
            payload=payload,
        )
        self.publish((topic, bytes(16), _encode(probe)))

    # -- time -------------------------------------------------------------------------------------------------

    def _on_timer(self) -> None:
        if self._closed:
            return
        if self._listen.plain_role is None:
            self._load_keys()
            self._read_zap()
        if not self.bound:
            self._bind()
        self._read_commands()
        self._read_events()
        self._read_subscriptions()
        soon = 0 < self._tries <= _SILENT_TRIES
        self._timer = self._loop.call_later(_RETRY_SECONDS if soon else LOOK_SECONDS, self._on_timer)
