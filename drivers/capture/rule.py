"""What is known about a reply on the wire: the rule that finds it, and the values handed to the caller."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import msgspec

from drivers.trouble import HttpFailure

HTTP = "http"
WEBSOCKET = "websocket"

APPEND = "append"
SNAPSHOT = "snapshot"
PATCH = "patch"
WHOLE = "whole"


class StreamRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a provider's reply travels; kept in its recipe.

    ``url``: path without origin and query, parts that look like ids replaced by ``*``. ``transport``: ``http``
    or ``websocket``. ``framing``: ``sse``, ``ndjson``, ``json``, ``lines``, ``text``, ``socketio`` or
    ``binary``; told for the reader, messages are always recognised by themselves. ``path``: where the text is
    in a message, as ``$.choices[*].delta.content`` (``[-1]`` the last item, ``.*`` a key that is an id, ``@``
    JSON inside a string, ``~`` from a patched document on). ``mode``: ``append``, ``snapshot``, ``patch`` or
    ``whole``. ``where``: conditions as ``$.type=text_delta``, all of which hold. ``group``: path of the id that
    tells replies on one stream apart. ``seed``: path of the first piece, where it travels apart.
    ``decode``: what is done to each piece: ``""``, ``unescape``, ``percent`` or ``base64``.
    """

    url: str
    transport: str
    framing: str
    path: str
    mode: str
    where: tuple[str, ...] = ()
    group: str = ""
    seed: str = ""
    decode: str = ""


_THOUGHTS = re.compile(r"think|thought|reason|(^|[^a-z])cot([^a-z]|$)", re.IGNORECASE)


def of_thoughts(rule: StreamRule) -> bool:
    """Does its name say that it is what a model thinks before it answers? Many pages show that above the reply."""
    return bool(_THOUGHTS.search(rule.path)) or any(
        _THOUGHTS.search(one.partition("=")[2]) for one in rule.where
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WireDelta:
    """A piece of a reply; ``offset`` in characters. ``rewrite``: it replaces everything from ``offset`` on."""

    offset: int
    text: str
    rewrite: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WireReply:
    """A text that is proved to be the reply, verbatim.

    ``score`` is 0..1; ``exact``: no word more or less; ``steps``: in how many it
    came; ``open``: the response that it comes on has not ended; ``outgrown``: a
    longer text on the wire begins with it, so the page may still be drawing that.
    """

    text: str
    rule: StreamRule
    exact: bool
    score: float
    why: str
    steps: int = 1
    open: bool = False
    outgrown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamActivity:
    """One response or socket that began or carried bytes since the exchange began. ``received`` in bytes (of
    text frames: characters); ``last_byte_at`` is of the event loop, 0 before the first byte."""

    url: str
    transport: str
    streaming: bool
    received: int
    last_byte_at: float
    ended: bool
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WireActivity:
    """What the wire did since ``begin``.

    ``reply_ended``: the stream the live text comes from has ended (None: no such stream is known, or it is a
    socket, which never ends). ``failed``: (url, error) of responses that broke off; ``cancelled``: those the page
    itself gave up, which many do when all is said. ``waiting``: addresses of requests sent since
    then that are not answered yet. ``closed``: sockets that closed; why is not told.
    """

    streams: tuple[StreamActivity, ...] = ()
    last_byte_at: float | None = None
    open_streams: int = 0
    ended: bool = False
    reply_ended: bool | None = None
    said_end: bool = False
    """The socket that carries the reply said that it is over, and nothing of it came since."""
    said_failure: str = ""
    """What the response or socket that carries the reply named as its failure, with nothing of the reply since."""
    reply_url: str | None = None
    """Address of the stream that the live text comes from."""
    reply_urls: int = 0
    """How many streams of this exchange are of the kind that the live text comes from."""
    failed: tuple[tuple[str, str], ...] = ()
    cancelled: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    http_errors: tuple[HttpFailure, ...] = ()
    closed: tuple[str, ...] = ()
    overflowed: tuple[str, ...] = field(default=())
    """Bounds that were hit: what was dropped can no longer be proved."""


_ID_PART = re.compile(
    r"^(?:\d+|[0-9a-fA-F]{8,}|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27,}|(?=[^/]*\d)(?=[^/]*[A-Za-z])[\w.~-]{14,})$"
)


def looks_like_id(part: str) -> bool:
    """Whether a part of a path or a key of an object names one thing and not a kind of things."""
    return bool(_ID_PART.match(part))


def url_pattern(url: str) -> str:
    """The path of an address without origin, query and ids, as ``/api/chat/*/messages``."""
    path = (
        re.sub(r"^[a-z][a-z0-9+.-]*://[^/?#]*", "", url, flags=re.IGNORECASE)
        .split("?", 1)[0]
        .split("#", 1)[0]
    )
    return "/".join("*" if looks_like_id(part) else part for part in path.split("/")) or "/"
