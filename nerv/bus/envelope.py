"""What travels on the bus: one frozen struct, MessagePack, array-like. See docs/protocol.md."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from enum import IntEnum
from typing import NewType

import msgspec

PROTOCOL_VERSION = 1

EnvelopeId = NewType("EnvelopeId", str)
PeerName = NewType("PeerName", str)
Incarnation = NewType("Incarnation", str)

BROKER = PeerName("")
"""The broker's own address: an empty target frame. Link kinds (HELLO, CREDIT, TICK, BYE) go there."""


class Kind(IntEnum):
    """What an envelope is for. Values are on the wire and never change."""

    COMMAND = 1
    REPLY = 2
    ERROR = 3
    ACK = 4
    NACK = 5
    EVENT = 6
    HELLO = 16
    WELCOME = 17
    CREDIT = 18
    TICK = 19
    BYE = 20


class Envelope(msgspec.Struct, array_like=True, frozen=True, kw_only=True, gc=False):
    """One message on the bus. Times are seconds since the epoch; 0.0 means "no deadline".

    ``payload`` stays encoded until its receiver decodes it: the broker never looks inside.
    ``correlation`` names the whole conversation (one user request), ``causation`` the envelope that led to this
    one. For REPLY, ERROR, ACK and NACK ``causation`` is the id of the command that is answered.
    """

    version: int = PROTOCOL_VERSION
    id: EnvelopeId
    kind: Kind
    type: str
    source: PeerName
    target: PeerName
    correlation: str = ""
    causation: str = ""
    trace: str = ""
    sent_at: float = 0.0
    deadline: float = 0.0
    attempt: int = 1
    payload: msgspec.Raw = msgspec.Raw(b"\xc0")


def answer_to(
    command: Envelope,
    kind: Kind,
    type_name: str,
    payload: msgspec.Raw,
    answer_id: EnvelopeId,
    source: PeerName,
    sent_at: float,
) -> Envelope:
    """REPLY, ERROR or NACK to a command: to its sender, in its conversation, its trace and its attempt."""
    return Envelope(
        id=answer_id,
        kind=kind,
        type=type_name,
        source=source,
        target=command.source,
        correlation=command.correlation,
        causation=command.id,
        trace=command.trace,
        sent_at=sent_at,
        attempt=command.attempt,
        payload=payload,
    )


def new_incarnation() -> Incarnation:
    """A name for one life of one peer: 48 random bits, sortable by nothing, unique for our purposes."""
    return Incarnation(os.urandom(6).hex())


class IdSource:
    """Envelope ids, unique across the cluster and cheap: the incarnation, and a counter.

    ``next`` is built of C functions only: two ids are made for each request.
    """

    def __init__(self, incarnation: Incarnation, mark: str = "") -> None:
        """``mark`` begins every id (``e`` for events), so that one incarnation may have several sources."""
        prefix = f"{mark}{incarnation}-"
        ids = map(prefix.__add__, map(str, itertools.count(1)))
        self.next: Callable[[], EnvelopeId] = ids.__next__  # type: ignore[assignment]  # an EnvelopeId is a str
