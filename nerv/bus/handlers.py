"""Handlers: which method answers which command, how its acceptance is told, how many run at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec

from nerv.bus.envelope import Envelope, PeerName
from nerv.bus.vocabulary import VOCABULARY, Message, Purpose

AckMode = Literal["on_accept", "on_reply"]
_MARK = "__nerv_handles__"

F = TypeVar("F", bound=Callable[..., Any])


class Context(msgspec.Struct, frozen=True, gc=False):
    """What a handler may want to know of the command in hand. ``deadline``: seconds since the epoch, 0.0 none."""

    envelope: Envelope

    @property
    def source(self) -> PeerName:
        return self.envelope.source

    @property
    def deadline(self) -> float:
        return self.envelope.deadline

    @property
    def correlation(self) -> str:
        return self.envelope.correlation


CURRENT: ContextVar[Envelope | None] = ContextVar("nerv_envelope", default=None)
"""The command being handled: requests and events sent meanwhile inherit its correlation and trace."""


@dataclass(frozen=True, slots=True)
class HandlerSpec:
    struct: type[Message]
    ack: AckMode
    concurrency: int | None


def handles(
    struct: type[Message], *, ack: AckMode = "on_accept", concurrency: int | None = None
) -> Callable[[F], F]:
    """Mark a method ``(self, message, context) -> reply`` as the handler of a command.

    It may be a coroutine function or a plain one (called at once; it must not block). ``ack="on_reply"``: no ACK
    before the answer, so that accepted means done. ``concurrency``: how many run at once (None: as many as the
    peer's window; 1: strictly in order of arrival). To refuse, raise :class:`nerv.errors.NervError`.
    """
    if concurrency is not None and concurrency < 1:
        raise ValueError("concurrency is at least 1")

    def mark(function: F) -> F:
        specs: tuple[HandlerSpec, ...] = getattr(function, _MARK, ())
        setattr(function, _MARK, (*specs, HandlerSpec(struct, ack, concurrency)))
        return function

    return mark


@dataclass(frozen=True, slots=True)
class Handler:
    """One entry of a peer's table."""

    name: str
    struct: type[Message]
    reply: type[Message] | None
    call: Callable[[Message, Context], Any]
    is_async: bool
    ack: AckMode
    concurrency: int | None


HandlerTable = dict[str, Handler]


def collect(owner: object) -> HandlerTable:
    """The handlers of an object: its methods marked with :func:`handles`. Raises ValueError for a bad mark."""
    table: HandlerTable = {}
    for attribute in dir(type(owner)):
        function = inspect.getattr_static(type(owner), attribute)
        for spec in getattr(function, _MARK, ()):
            entry = VOCABULARY.of(spec.struct)
            if entry.purpose is not Purpose.COMMAND:
                raise ValueError(f"{attribute} handles {entry.name!r}, which is no command")
            if entry.name in table:
                raise ValueError(
                    f"{entry.name!r} has two handlers, {table[entry.name].call!r} and {attribute}"
                )
            call = getattr(owner, attribute)
            table[entry.name] = Handler(
                name=entry.name,
                struct=spec.struct,
                reply=entry.reply,
                call=call,
                is_async=inspect.iscoroutinefunction(call),
                ack=spec.ack,
                concurrency=spec.concurrency,
            )
    return table
