"""The events a page receives, and how each transport writes them."""

from collections.abc import Callable
from enum import StrEnum

import msgspec
from msgspec import Struct

# In the plain text of the transport `chunked`, where no event fits: what went before is void.
RECORD_SEPARATOR = "\x1e"


class Via(StrEnum):
    """The transports by which a reply can reach the page."""

    SSE = "sse"
    EVENTSOURCE = "eventsource"
    WS = "ws"
    CHUNKED = "chunked"
    NDJSON = "ndjson"
    POLL = "poll"
    DOM = "dom"


class Start(Struct, frozen=True, kw_only=True, tag_field="type", tag="start"):
    """The prompt is accepted. `page_fault` strikes in the page after `half` characters."""

    conversation: str
    turn: int
    half: int
    page_fault: str
    argument: float | None


class Delta(Struct, frozen=True, kw_only=True, tag_field="type", tag="delta"):
    text: str


class Replace(Struct, frozen=True, kw_only=True, tag_field="type", tag="replace"):
    text: str


class End(Struct, frozen=True, kw_only=True, tag_field="type", tag="end"):
    phase: str


class Failed(Struct, frozen=True, kw_only=True, tag_field="type", tag="error"):
    message: str


Event = Start | Delta | Replace | End | Failed

_encode = msgspec.json.Encoder().encode


def as_sse(event: Event) -> bytes:
    return b"data: " + _encode(event) + b"\n\n"


def as_line(event: Event) -> bytes:
    return _encode(event) + b"\n"


def as_text(event: Event) -> bytes:
    """Plain text: the reply and nothing else. An error is told by the connection, which is dropped."""
    match event:
        case Delta(text=text):
            return text.encode()
        case Replace(text=text):
            return (RECORD_SEPARATOR + text).encode()
        case _:
            return b""


class Streamed(Struct, frozen=True):
    """A transport whose answer to the POST is the stream itself."""

    media_type: str
    encode: Callable[[Event], bytes]


STREAMED = {
    Via.SSE: Streamed("text/event-stream", as_sse),
    Via.EVENTSOURCE: Streamed("text/event-stream", as_sse),
    Via.NDJSON: Streamed("application/x-ndjson", as_line),
    Via.CHUNKED: Streamed("text/plain; charset=utf-8", as_text),
}
