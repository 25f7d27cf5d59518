"""Binary frames: JSON in disguise, MessagePack, protobuf without its schema, gRPC-web, and a last resort.

Protobuf is read by field numbers; bytes that may be a text and a message as well are given as both.
"""

from __future__ import annotations

import gzip
import re
import zlib
from typing import Any

import msgspec

from drivers.capture.framing import Message, parse_json

MAX_FIELDS = 4000
MAX_DEPTH = 16
_MAX_INFLATED = 8_000_000
_RUN = re.compile(rb"(?:[\x20-\x7e\t\n\r]|[\xc2-\xf4][\x80-\xbf]{1,3}){4,}")


def binary_messages(frame: bytes) -> list[Message]:
    """What a binary frame holds; [] when no text can be read from it."""
    frame = _inflate(frame)
    if not frame:
        return []
    text = _utf8(frame)
    if text is not None:
        value = parse_json(text)
        return [Message(text if value is None else value)]
    for body in _unprefixed(frame):
        inner = _utf8(body)
        value = parse_json(inner) if inner is not None else None
        if value is None:
            value = _msgpack(body)
        if value is None:
            value = protobuf(body)
        if value is not None:
            return [Message(value)]
    runs = [run.decode("utf-8", "ignore") for run in _RUN.findall(frame)]
    values = [value for run in runs if (value := parse_json(run)) is not None]
    return [Message(value) for value in values] or ([Message({"runs": runs})] if runs else [])


def _inflate(frame: bytes) -> bytes:
    try:
        if frame[:2] == b"\x1f\x8b":
            return gzip.decompress(frame) if len(frame) < _MAX_INFLATED // 8 else frame
        if frame[:1] == b"\x78" and frame[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"):
            return zlib.decompressobj().decompress(frame, _MAX_INFLATED)
    except (OSError, zlib.error, EOFError):
        return frame
    return frame


def _utf8(data: bytes) -> str | None:
    """The text that ``data`` is: valid UTF-8 without control characters."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if any(c < " " and c not in "\n\r\t" for c in text) else text


def _unprefixed(frame: bytes) -> list[bytes]:
    """The frame, and what is left of it without a gRPC-web prefix or a length varint."""
    out = []
    if len(frame) > 5 and frame[0] in (0, 1, 2, 3) and int.from_bytes(frame[1:5], "big") == len(frame) - 5:
        out.append(frame[5:])
    length, at = _varint(frame, 0)
    if at > 0 and length == len(frame) - at and length > 1:
        out.append(frame[at:])
    out.append(frame)
    return out


def grpc_frames(data: bytes) -> tuple[list[bytes], bytes]:
    """Whole frames with a 5-byte prefix (gRPC-web, Connect) and the rest."""
    out: list[bytes] = []
    while len(data) >= 5:
        size = int.from_bytes(data[1:5], "big")
        if len(data) < 5 + size:
            break
        if not data[0] & 0x80:
            out.append(data[5 : 5 + size])
        data = data[5 + size :]
    return out, data


def _msgpack(data: bytes) -> Any | None:
    if data[0] < 0x80 and data[0] >= 0x20:
        return None
    try:
        value = msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, position after it); position 0 when there is none."""
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, 0


def protobuf(data: bytes, depth: int = 0) -> dict[str, Any] | None:
    """Lists of texts as ``f1``, of messages as ``m1``, by field number. None: not protobuf."""
    out: dict[str, Any] = {}
    at = fields = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        fields += 1
        if at == 0 or number == 0 or number > 536_870_911 or fields > MAX_FIELDS:
            return None
        if wire == 0:
            _, at = _varint(data, at)
            if at == 0:
                return None
            continue
        size, at = (
            (8, at) if wire == 1 else (4, at) if wire == 5 else _varint(data, at) if wire == 2 else (0, 0)
        )
        if at == 0 or at + size > len(data):
            return None
        if wire == 2:
            _keep(out, number, data[at : at + size], depth)
        at += size
    return out or None if depth == 0 else out


def _keep(out: dict[str, Any], number: int, value: bytes, depth: int) -> None:
    text = _utf8(value)
    nested = protobuf(value, depth + 1) if value and depth < MAX_DEPTH else None
    if text is not None:
        _add(out, f"f{number}", text)
    if nested:
        _add(out, f"m{number}", nested)


def _add(out: dict[str, Any], key: str, value: Any) -> None:
    out.setdefault(key, []).append(
        value
    )  # always a list, so that a path is the same for one item and for two
