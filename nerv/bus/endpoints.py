"""Where a broker is: the addresses of its three sockets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nerv.instance import Instance


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """The three addresses of a broker, as ZeroMQ writes them."""

    commands: str
    events_in: str
    events_out: str

    @classmethod
    def of_directory(cls, commands: Path, events_in: Path, events_out: Path) -> Endpoints:
        return cls(
            commands=f"ipc://{commands}", events_in=f"ipc://{events_in}", events_out=f"ipc://{events_out}"
        )


def endpoints_of(instance: Instance) -> Endpoints:
    """The sockets in the runtime directory of an instance."""
    return Endpoints.of_directory(
        instance.command_socket, instance.event_in_socket, instance.event_out_socket
    )
