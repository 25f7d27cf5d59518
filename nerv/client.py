"""A client for processes that NERV does not supervise: connect, request, send by name, subscribe."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import TypedDict, Unpack

from nerv.bus.endpoints import Endpoints, endpoints_of
from nerv.bus.envelope import Envelope
from nerv.bus.limits import DEFAULT_LIMITS, Limits
from nerv.bus.peer_socket import DEFAULT_TIMEOUT, Peer
from nerv.bus.remote.keys import PLAIN, read_client_key
from nerv.bus.remote.settings import tcp_endpoints
from nerv.bus.sockets import Curve
from nerv.bus.subscription import Subscription
from nerv.bus.vocabulary import VOCABULARY, Command, Message, R
from nerv.instance import Instance

CONNECT_TIMEOUT = 5.0


class ClientOptions(TypedDict, total=False):
    """How a client connects. Every field may be left out."""

    endpoints: Endpoints | str | None
    """Where the broker is, if not at the instance: ``"tcp://HOST:PORT"``. NERV_BUS says the same."""
    key_file: Path | str | None
    """What `nerv key new` wrote (default: NERV_KEY_FILE); a broker on TCP asks for it."""
    connect_timeout: float
    """Seconds to wait for the broker when the client is entered; default 5."""
    limits: Limits


class Client:
    """``async with Client() as client: await client.request("queue", TaskList())``.

    It outlives restarts of the broker: requests wait, and are sent again, until their own deadline.
    """

    def __init__(
        self, instance: Instance | None = None, name: str | None = None, **options: Unpack[ClientOptions]
    ) -> None:
        """A client of an instance (default: as NERV_INSTANCE says) or of explicit ``endpoints``.

        Entering it raises Disconnected without a broker. ``name`` must be unique on the bus; by default it is made of
        the process id and a random part. On TCP it must begin with the key's name and a dot, as the default does.
        Raises ConfigurationError for a key file that is unusable.
        """
        unknown = options.keys() - ClientOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"a client has no option {', '.join(sorted(unknown))}")
        where = _place(instance, options.get("endpoints"))
        unique = f"client-{os.getpid()}-{secrets.token_hex(3)}"
        curve = None
        if not where.commands.startswith("ipc:"):
            key_name, curve = _key(options.get("key_file") or os.environ.get("NERV_KEY_FILE"))
            unique = f"{key_name}.{unique}"
        limits = options.get("limits", DEFAULT_LIMITS)
        self.peer = Peer(where, name=name or unique, kind="client", limits=limits, curve=curve)
        self._connect_timeout = options.get("connect_timeout", CONNECT_TIMEOUT)

    async def __aenter__(self) -> Client:
        try:
            await self.peer.open(self._connect_timeout)
        except BaseException:
            await self.peer.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.peer.close("done")

    @property
    def name(self) -> str:
        return self.peer.name

    @property
    def connected(self) -> bool:
        return self.peer.connected

    async def request(
        self,
        target: str,
        message: Command[R],
        *,
        timeout: float = DEFAULT_TIMEOUT,
        correlation: str | None = None,
        cause: Envelope | None = None,
    ) -> R:
        """See :meth:`nerv.bus.peer_socket.Peer.request`."""
        return await self.peer.request(target, message, timeout=timeout, correlation=correlation, cause=cause)

    async def send(
        self,
        type_name: str,
        json: str | bytes,
        *,
        target: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Message:
        """Send a command given by its name and JSON; the typed reply. ``target`` only where the type names none."""
        address, command = VOCABULARY.parse(type_name, json, target)
        answer: Message = await self.peer.request(address, command, timeout=timeout)
        return answer

    def publish(self, topic: str, message: Message, *, correlation: str = "") -> None:
        self.peer.publish(topic, message, correlation=correlation)

    def subscribe(self, *topics: str, capacity: int = 1024) -> Subscription:
        """See :meth:`nerv.bus.peer_socket.Peer.subscribe`."""
        return self.peer.subscribe(*topics, capacity=capacity)


def _place(instance: Instance | None, endpoints: Endpoints | str | None) -> Endpoints:
    chosen = endpoints or (os.environ.get("NERV_BUS") if instance is None else None)
    if isinstance(chosen, Endpoints):
        return chosen
    return tcp_endpoints(chosen, field="bus") if chosen else endpoints_of(instance or Instance.locate())


def _key(file: Path | str | None) -> tuple[str, Curve | None]:
    """The name of the key and what the sockets need of it; without a file, what plain loopback expects."""
    if not file:
        return PLAIN, None
    key = read_client_key(Path(file))
    return key.name, Curve(key.server.encode(), key.public.encode(), key.secret.encode())
