"""Where the bus listens beyond its own directory, checked before anything is bound."""

from __future__ import annotations

import ipaddress
import re

import msgspec

from nerv.bus.endpoints import Endpoints
from nerv.bus.vocabulary import Role
from nerv.errors import ConfigurationError, invalid

_ADDRESS = re.compile(r"tcp://(?P<host>\*|\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(?P<port>\d{1,5})")
PORTS = 3
"""Commands at the port that is named, events in at the next, events out at the one after it."""


class Listen(msgspec.Struct, frozen=True, kw_only=True):
    """A checked address. ``plain_role``: what a peer may do without a key; None: nothing, CURVE is required."""

    endpoints: Endpoints
    plain_role: Role | None
    ipv6: bool


def tcp_endpoints(address: str, *, field: str = "bus") -> Endpoints:
    """The three endpoints of ``tcp://HOST:PORT``; raises :class:`ConfigurationError`."""
    host, port = _parse(address, field)
    commands, events_in, events_out = (f"tcp://{host}:{port + step}" for step in range(PORTS))
    return Endpoints(commands=commands, events_in=events_in, events_out=events_out)


def listen_at(address: str, *, plain_loopback: bool, plain_role: Role) -> Listen:
    """Raises :class:`ConfigurationError`: beyond loopback nothing goes unencrypted."""
    field = "actor.bus.settings.listen"
    endpoints = tcp_endpoints(address, field=field)
    host, _ = _parse(address, field)
    bare = host.strip("[]")
    try:
        ip = None if host == "*" else ipaddress.ip_address(bare)
    except ValueError:
        raise ConfigurationError(
            invalid(f"{host!r} is no address to listen at", field=field, fix="use a numeric address, or *")
        ) from None
    if plain_loopback and (ip is None or not ip.is_loopback):
        raise ConfigurationError(
            invalid(
                f"{address} is not a loopback address: without CURVE anybody could read and send there",
                field="actor.bus.settings.plain_loopback",
                fix="remove it (then keys are required), or listen at tcp://127.0.0.1:PORT",
            )
        )
    return Listen(
        endpoints=endpoints,
        plain_role=plain_role if plain_loopback else None,
        ipv6=ip is not None and ip.version == 6,
    )


def _parse(address: str, field: str) -> tuple[str, int]:
    found = _ADDRESS.fullmatch(address)
    port = int(found["port"]) if found else 0
    if found is None or not 1 <= port <= 65536 - PORTS:
        raise ConfigurationError(
            invalid(
                f"{address!r} is no TCP address of a bus",
                field=field,
                fix=f"write tcp://HOST:PORT with a port from 1 to {65536 - PORTS}; the next two are used too",
            )
        )
    return found["host"], port
