"""ZeroMQ sockets with every option set on purpose, and the lock that guards an ipc address.

Traps that the options answer, each found in libzmq's or pyzmq's issues:
- LINGER's default is for ever: a process then hangs at exit. 0 here; what matters is sent again anyway.
- A ROUTER drops what it cannot deliver in silence unless ROUTER_MANDATORY is set.
- MAXMSGSIZE's default is unlimited: one frame could take all memory.
- Without IMMEDIATE a DEALER queues to connections that do not exist yet, and keeps it after they die.
- A second bind on an ipc address removes the socket file of the first without an error: lock first.
- A context must not cross a fork, and a socket must stay in its thread (`Owner`).
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path
from typing import NamedTuple

import zmq

from nerv.bus.limits import Limits
from nerv.errors import ConfigurationError, invalid

RECONNECT_MS = 20
RECONNECT_MAX_MS = 100
HIGH_WATER = 8192
"""Messages (bundles) per connection; a backstop, far above what credit lets through."""


def _common(socket: zmq.Socket[bytes], limits: Limits) -> None:
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, limits.message_bytes + limits.bundle_bytes + 65536)
    socket.setsockopt(zmq.SNDHWM, HIGH_WATER)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER)
    socket.setsockopt(zmq.SNDTIMEO, 0)


def router(context: zmq.Context[zmq.Socket[bytes]], limits: Limits) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.ROUTER)
    _common(socket, limits)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
    return socket


def dealer(context: zmq.Context[zmq.Socket[bytes]], limits: Limits, identity: bytes) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.DEALER)
    _common(socket, limits)
    _reconnecting(socket)
    socket.setsockopt(zmq.IMMEDIATE, 1)
    if identity:
        socket.setsockopt(zmq.ROUTING_ID, identity)
    return socket


def publisher(context: zmq.Context[zmq.Socket[bytes]], limits: Limits) -> zmq.Socket[bytes]:
    """An XPUB: unlike a PUB it hears when the broker subscribes, so that nothing is published into the void."""
    socket = context.socket(zmq.XPUB)
    _common(socket, limits)
    _reconnecting(socket)
    socket.setsockopt(zmq.XPUB_NODROP, 1)
    return socket


def subscriber(context: zmq.Context[zmq.Socket[bytes]], limits: Limits) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.SUB)
    _common(socket, limits)
    _reconnecting(socket)
    return socket


def event_in(context: zmq.Context[zmq.Socket[bytes]], limits: Limits) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.XSUB)
    _common(socket, limits)
    return socket


def event_out(context: zmq.Context[zmq.Socket[bytes]], limits: Limits) -> zmq.Socket[bytes]:
    """XPUB drops for a slow subscriber alone; VERBOSE shows each new subscription (see `events.PROBE`)."""
    socket = context.socket(zmq.XPUB)
    _common(socket, limits)
    socket.setsockopt(zmq.XPUB_VERBOSE, 1)
    return socket


def remote_router(context: zmq.Context[zmq.Socket[bytes]], limits: Limits) -> zmq.Socket[bytes]:
    """For peers that are not trusted: no HANDOVER, or anyone could take over another's connection by its id."""
    socket = context.socket(zmq.ROUTER)
    _common(socket, limits)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    return socket


def remote_event_out(context: zmq.Context[zmq.Socket[bytes]], limits: Limits) -> zmq.Socket[bytes]:
    """MANUAL: a subscription takes force only when the broker says so."""
    socket = event_out(context, limits)
    socket.setsockopt(zmq.XPUB_MANUAL, 1)
    return socket


class Curve(NamedTuple):
    """What a client needs to be let in, each in Z85: the broker's public key, and its own pair."""

    server: bytes
    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        return "Curve(…)"

    def protect(self, socket: zmq.Socket[bytes]) -> None:
        """Before connect."""
        socket.setsockopt(zmq.CURVE_SERVERKEY, self.server)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.secret)


def _reconnecting(socket: zmq.Socket[bytes]) -> None:
    socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)


class Owner:
    """The process and thread that made the sockets. Others must not touch them: libzmq aborts or hangs."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self.thread = threading.get_ident()

    def check(self) -> None:
        """Raises RuntimeError, with what to do instead."""
        if os.getpid() != self._pid:
            raise RuntimeError("this peer was made before a fork; make one in the child, after the fork")
        if threading.get_ident() != self.thread:
            raise RuntimeError("this peer belongs to another thread; use call_soon_threadsafe of its loop")


class Nobody(Owner):
    """Of sockets that are not made yet."""

    def __init__(self) -> None:
        self.thread = 0

    def check(self) -> None:
        raise RuntimeError("this peer is not open yet: `await peer.open()` comes first")


class AddressLock:
    """Exclusive right to bind the sockets of a directory. Freed by the system when its process dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self) -> None:
        """Raises :class:`ConfigurationError` if another process holds it."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise ConfigurationError(
                invalid(
                    f"another broker holds {self._path}",
                    field="instance",
                    fix="stop it (`nerv down`), or choose another --instance",
                )
            ) from None
        self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
