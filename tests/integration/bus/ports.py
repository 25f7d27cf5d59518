"""A place for a bus on TCP."""

from __future__ import annotations

import contextlib
import socket


def free_port() -> int:
    """The first of three ports that are free now."""
    for _ in range(50):
        with contextlib.ExitStack() as held:
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            if port > 65000:
                continue
            try:
                for step in (1, 2):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port + step))
            except OSError:
                continue
            return port
    raise AssertionError("no three free ports in a row")
