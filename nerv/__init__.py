"""NERV: actors, a supervisor and a bus. What may not come in: tasks, browsers, databases (they are built on it).

The public names are loaded when they are first used, so that `import nerv` and `nerv --help` stay quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nerv.actor import Actor, run_actor
    from nerv.bus.bundle import BadBundle
    from nerv.bus.endpoints import Endpoints, endpoints_of
    from nerv.bus.envelope import Envelope, Kind
    from nerv.bus.handlers import Context, handles
    from nerv.bus.limits import Limits
    from nerv.bus.peer_socket import Peer
    from nerv.bus.subscription import Event, Subscription
    from nerv.bus.vocabulary import VOCABULARY, Message, Role
    from nerv.client import Client
    from nerv.errors import (
        Busy,
        ConfigurationError,
        DeadlineExceeded,
        Disconnected,
        ErrorCode,
        ErrorInfo,
        NervError,
        RemoteError,
        Undeliverable,
    )
    from nerv.instance import Instance
    from nerv.sync import SyncClient

_HOMES = {
    "Actor": "nerv.actor",
    "BadBundle": "nerv.bus.bundle",
    "Busy": "nerv.errors",
    "Client": "nerv.client",
    "ConfigurationError": "nerv.errors",
    "Context": "nerv.bus.handlers",
    "DeadlineExceeded": "nerv.errors",
    "Disconnected": "nerv.errors",
    "Endpoints": "nerv.bus.endpoints",
    "Envelope": "nerv.bus.envelope",
    "ErrorCode": "nerv.errors",
    "ErrorInfo": "nerv.errors",
    "Event": "nerv.bus.subscription",
    "Instance": "nerv.instance",
    "Kind": "nerv.bus.envelope",
    "Limits": "nerv.bus.limits",
    "Message": "nerv.bus.vocabulary",
    "NervError": "nerv.errors",
    "Peer": "nerv.bus.peer_socket",
    "RemoteError": "nerv.errors",
    "Role": "nerv.bus.vocabulary",
    "Subscription": "nerv.bus.subscription",
    "SyncClient": "nerv.sync",
    "Undeliverable": "nerv.errors",
    "VOCABULARY": "nerv.bus.vocabulary",
    "endpoints_of": "nerv.bus.endpoints",
    "handles": "nerv.bus.handlers",
    "run_actor": "nerv.actor",
}

__all__ = (
    "VOCABULARY",
    "Actor",
    "BadBundle",
    "Busy",
    "Client",
    "ConfigurationError",
    "Context",
    "DeadlineExceeded",
    "Disconnected",
    "Endpoints",
    "Envelope",
    "ErrorCode",
    "ErrorInfo",
    "Event",
    "Instance",
    "Kind",
    "Limits",
    "Message",
    "NervError",
    "Peer",
    "RemoteError",
    "Role",
    "Subscription",
    "SyncClient",
    "Undeliverable",
    "endpoints_of",
    "handles",
    "run_actor",
)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'nerv' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
