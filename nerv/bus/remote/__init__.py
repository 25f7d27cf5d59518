"""The bus beyond its own machine's directory: keys, roles, TCP. Nothing comes in that local peers need."""

from nerv.bus.remote.keys import (
    ClientKey,
    KeyRing,
    KnownKey,
    RoleName,
    ServerKey,
    read_client_key,
    write_client_key,
)
from nerv.bus.remote.settings import Listen, listen_at, tcp_endpoints

__all__ = (
    "ClientKey",
    "KeyRing",
    "KnownKey",
    "Listen",
    "RoleName",
    "ServerKey",
    "listen_at",
    "read_client_key",
    "tcp_endpoints",
    "write_client_key",
)
