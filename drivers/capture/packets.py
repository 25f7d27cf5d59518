"""Frames of a WebSocket (and packets of engine.io's polling) as messages."""

from __future__ import annotations

import re
from typing import Any

from drivers.capture.binary import binary_messages
from drivers.capture.framing import (
    BINARY,
    JSON,
    SOCKETIO,
    TEXT,
    JsonScanner,
    Message,
    SseParser,
    parse_json,
)

_ENGINE_MESSAGE = re.compile(r"^4(?P<type>\d)?(?P<attachments>\d+-)?(?P<space>/[^,\[{]*,?)?\d*(?=[\[{])")
_ENGINE_QUIET = re.compile(r"^(?:[0-6](?:probe)?|0\{.*\}|40.*|41.*)$", re.DOTALL)
_LENGTH = re.compile(r"(\d+):")


class SocketFraming:
    """One WebSocket: frames in, messages out."""

    def __init__(self, url: str = "") -> None:
        self.kind: str | None = None
        self._engine = "EIO=" in url or "socket.io" in url

    def text(self, frame: str) -> list[Message]:
        if not frame.strip():
            self.kind = self.kind or TEXT
            return [Message(frame)] if frame else []
        if "\x1e" in frame:  # SignalR, and several engine.io packets at once
            return [message for part in frame.split("\x1e") if part for message in self.text(part)]
        engine = engine_packet(frame, sure=self._engine)
        if engine is not None:
            self.kind = SOCKETIO
            return engine
        if frame[0] == "a" and frame[1:2] == "[":  # SockJS
            items = parse_json(frame[1:])
            if isinstance(items, list):
                return [
                    m
                    for item in items
                    for m in (self.text(item) if isinstance(item, str) else [Message(item)])
                ]
        if frame.startswith("MESSAGE\n"):  # STOMP
            return self.text(frame.partition("\n\n")[2].rstrip("\0\n"))
        value = parse_json(frame)
        if value is not None:
            self.kind = JSON
            return [Message(value)]
        if frame.startswith(("data:", "event:")):
            parser = SseParser()
            return parser.feed(frame) + parser.finish()
        if frame.lstrip()[0] in "{[":
            scanner = JsonScanner()
            values = scanner.feed(frame)
            if values and not scanner.malformed and not scanner.held.strip():
                self.kind = JSON
                return [Message(item) for item in values]
        self.kind = self.kind or TEXT
        return [Message(frame)]

    def binary(self, frame: bytes) -> list[Message]:
        self.kind = self.kind or BINARY
        return binary_messages(frame)


def engine_packet(packet: str, *, sure: bool) -> list[Message] | None:
    """The message in one engine.io packet; [] for its housekeeping; None when it is no such packet."""
    found = _ENGINE_MESSAGE.match(packet)
    if found is None:
        return [] if sure and _ENGINE_QUIET.match(packet) else None
    value = parse_json(packet[found.end() :])
    if value is None:
        return None
    if found["type"] in ("0", "1"):
        return []
    return [event_message(value)]


def event_message(value: Any) -> Message:
    """``["name", payload…]`` as a named message."""
    if isinstance(value, list) and value and isinstance(value[0], str):
        rest = value[1:]
        return Message(rest[0] if len(rest) == 1 else rest, value[0])
    return Message(value)


def engine_payload(body: str) -> list[Message]:
    """The body of one engine.io poll: packets parted by U+001E, or prefixed by their lengths (version 3)."""
    packets: list[str] = []
    if "\x1e" not in body and _LENGTH.match(body):
        at = 0
        while found := _LENGTH.match(body, at):
            at = found.end() + int(found[1])
            packets.append(body[found.end() : at])
    else:
        packets = body.split("\x1e")
    return [message for packet in packets for message in (engine_packet(packet, sure=True) or [])]
