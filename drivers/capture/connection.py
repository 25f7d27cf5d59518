"""One response or one socket of a page, from bytes and frames to messages. No browser in here."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from drivers.capture.binary import binary_messages, grpc_frames
from drivers.capture.framing import BINARY, BodyFraming, Message
from drivers.capture.packets import SocketFraming
from drivers.capture.rule import WEBSOCKET, url_pattern

MAX_STREAM_BYTES = 32_000_000
"""A response or socket that carries more within one exchange is not read further; activity says so."""

_BINARY_TYPES = ("octet-stream", "protobuf", "grpc", "connect+", "msgpack", "eventstream")


@dataclass(slots=True)
class Connection:
    """One response or one socket, over its whole life; counters are of the current exchange."""

    url: str
    transport: str
    content_type: str = ""
    opened_at: float = 0.0
    number: int = 0
    received: int = 0
    last_byte_at: float = 0.0
    chunks: int = 0
    ended: bool = False
    failure: str | None = None
    closed: bool = False
    pattern: str = ""
    total: int = 0
    _body: BodyFraming | None = None
    _socket: SocketFraming | None = None
    _decoder: codecs.IncrementalDecoder | None = None
    _bytes: bytes = b""

    def __post_init__(self) -> None:
        self.pattern = url_pattern(self.url)
        if self.transport == WEBSOCKET:
            self._socket = SocketFraming(self.url)

    @property
    def framing(self) -> str:
        return (self._body and self._body.kind) or (self._socket and self._socket.kind) or BINARY

    @property
    def is_binary(self) -> bool:
        return (
            any(mark in self.content_type for mark in _BINARY_TYPES)
            and "grpc-web-text" not in self.content_type
        )

    def body(self, data: bytes, *, final: bool = False) -> list[Message]:
        """Messages completed by a piece of a response body."""
        if self.is_binary:
            return self._binary_body(data, final=final)
        if self._body is None:
            charset = self.content_type.partition("charset=")[2].split(";")[0].strip(" \"'") or "utf-8"
            try:
                self._decoder = codecs.getincrementaldecoder(charset)("replace")
            except LookupError:
                self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
            self._body = BodyFraming(self.content_type, self.url)
        assert self._decoder is not None
        return self._body.feed(self._decoder.decode(data, final), final=final)

    def _binary_body(self, data: bytes, *, final: bool) -> list[Message]:
        self._bytes += data
        if len(self._bytes) > MAX_STREAM_BYTES:
            self._bytes = b""
        frames: list[bytes] = []
        if "grpc" in self.content_type or "connect+" in self.content_type:
            frames, self._bytes = grpc_frames(self._bytes)
        elif final or (self._bytes[:1] in (b"{", b"d", b"e") and self._bytes[-1:] == b"\n"):
            frames, self._bytes = [self._bytes], b""
        return [message for frame in frames for message in binary_messages(frame)]

    def frame(self, data: str | bytes) -> list[Message]:
        """Messages in one frame of a socket."""
        assert self._socket is not None
        return self._socket.binary(data) if isinstance(data, bytes) else self._socket.text(data)
