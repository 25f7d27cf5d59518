"""ZAP (ZeroMQ RFC 27) as a function of its frames: who may connect, under which user id."""

from __future__ import annotations

from collections.abc import Callable

ENDPOINT = "inproc://zeromq.zap.01"
VERSION = b"1.0"
DOMAIN = b"nerv"

WhoHas = Callable[[bytes], str | None]
"""The name of a client's public key (32 bytes), or None."""


def answer(frames: list[bytes], who_has: WhoHas) -> tuple[list[bytes], str | None]:
    """The reply to one request ``[id][empty][version, request id, domain, address, routing id, mechanism, …]``.

    With it comes the reason of a refusal (None: accepted). A request that is malformed gets no reply (empty list):
    libzmq, the only one that can reach an inproc address, never sends one.
    """
    if len(frames) < 8 or frames[1] or frames[2] != VERSION:
        return [], "malformed ZAP request"
    identity, request_id, domain = frames[0], frames[3], frames[4]
    address, mechanism, credentials = frames[5], frames[7], frames[8:]
    name = None
    if mechanism != b"CURVE" or domain != DOMAIN or len(credentials) != 1:
        refusal = f"{mechanism.decode('ascii', 'replace')} is not enough"
    else:
        name = who_has(credentials[0])
        refusal = f"unknown key, from {address.decode('ascii', 'replace')}"
    if name is None:
        return [identity, b"", VERSION, request_id, b"400", b"unknown key", b"", b""], refusal
    return [identity, b"", VERSION, request_id, b"200", b"OK", name.encode(), b""], None
