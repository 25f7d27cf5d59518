"""Text that arrives in pieces, cut into messages: SSE, NDJSON, one or many JSON values, tagged lines, plain text.

The kind is recognised by the first characters, because the declared content type is often wrong.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

Json = Any
"""A decoded JSON value; the wire decides its shape."""

SSE, NDJSON, JSON, LINES, TEXT, SOCKETIO, BINARY = (
    "sse",
    "ndjson",
    "json",
    "lines",
    "text",
    "socketio",
    "binary",
)
MAX_HELD_CHARS = 8_000_000
"""An unfinished message longer than this is given up: its text is dropped and the framing says so."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``event``: its name on the framing's own level (SSE event, socket.io event, line tag)."""

    value: Json
    event: str = ""
    raw: str | None = None
    """SSE data before the single leading blank was removed, where the data is plain text."""


def parse_json(text: str) -> Json | None:
    """The object, array or string that ``text`` is, else None."""
    head = text.lstrip()[:1]
    if head not in ("{", "[", '"'):
        return None
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


class SseParser:
    """The event-stream grammar, with two liberties that real servers need: several JSON values in one event
    (no blank line between them), and an unfinished last event at the end of the stream."""

    def __init__(self) -> None:
        self._rest = ""
        self._data: list[str] = []
        self._raw: list[str] = []
        self._event = ""

    def feed(self, text: str) -> list[Message]:
        self._rest += text
        cut = max(self._rest.rfind("\n"), self._rest[:-1].rfind("\r"))  # a final \r may be half of \r\n
        if cut < 0:
            return []
        block, self._rest = self._rest[: cut + 1], self._rest[cut + 1 :]
        out: list[Message] = []
        for line in re.split(r"\r\n|\n|\r", block)[:-1]:
            self._line(line, out)
        return out

    def finish(self) -> list[Message]:
        out: list[Message] = []
        for line in re.split(r"\r\n|\n|\r", self._rest):
            self._line(line, out)
        self._rest = ""
        self._dispatch(out)
        return out

    def _line(self, line: str, out: list[Message]) -> None:
        if not line:
            self._dispatch(out)
            return
        name, _, value = line.partition(":")
        if name == "data":
            self._raw.append(value)
            self._data.append(value.removeprefix(" "))
        elif name == "event":
            self._event = value.strip()

    def _dispatch(self, out: list[Message]) -> None:
        if self._data:
            data, event = "\n".join(self._data), self._event
            value = parse_json(data)
            several = (
                [parse_json(line) for line in self._data] if value is None and len(self._data) > 1 else []
            )
            if value is not None:
                out.append(Message(value, event))
            elif several and all(item is not None for item in several):
                out.extend(Message(item, event) for item in several)
            elif data.strip() != "[DONE]":
                out.append(Message(data, event, "\n".join(self._raw)))
        self._data, self._raw, self._event = [], [], ""


class JsonScanner:
    """Finds complete JSON values in a text that grows: NDJSON, concatenated, indented, length-prefixed.

    The items of a top-level array of objects are given one by one, as soon as each is whole.
    """

    _MARK = re.compile(r'["{}\[\]]')
    _STRING = re.compile(r'"|\\')

    def __init__(self) -> None:
        self.malformed = 0
        self.values = 0
        self._text = ""
        self._at = 0
        self._start = -1
        self._depth = 0
        self._base = 0
        self._quoted = False

    @property
    def held(self) -> str:
        """What is not yet a whole value."""
        return self._text

    def feed(self, text: str) -> list[Json]:
        self._text += text
        out: list[Json] = []
        while True:
            if self._quoted:
                if not self._skip_string():
                    break
                continue
            found = self._MARK.search(self._text, self._at)
            if found is None:
                self._at = len(self._text)
                break
            mark, self._at = found[0], found.end()
            if mark == '"':
                self._quoted = self._start >= 0  # a quote between values is noise
            elif mark in "{[":
                if self._start < 0:
                    if mark == "[" and self._depth == 0 and self._base == 0:
                        following = self._text[self._at :].lstrip()
                        if not following:
                            self._at = found.start()  # wait: an array of objects is given item by item
                            break
                        if following[0] == "{":
                            self._base = self._depth = 1
                            continue
                    self._start = found.start()
                self._depth += 1
            elif self._depth > self._base:
                self._depth -= 1
                if self._depth == self._base:
                    self._take(out)
            elif mark == "]" and self._base:
                self._base = self._depth = 0
        if self._start < 0:
            self._text, self._at = self._text[self._at :], 0
        return out

    def _skip_string(self) -> bool:
        while True:
            found = self._STRING.search(self._text, self._at)
            if found is None:
                self._at = len(self._text)
                return False
            if found[0] == '"':
                self._at, self._quoted = found.end(), False
                return True
            if found.end() >= len(self._text):
                self._at = found.start()
                return False
            self._at = found.end() + 1

    def _take(self, out: list[Json]) -> None:
        try:
            out.append(json.loads(self._text[self._start : self._at], strict=False))
            self.values += 1
        except (ValueError, RecursionError):
            self.malformed += 1
        self._text, self._at, self._start = self._text[self._at :], 0, -1


_GUARD = re.compile(r"^\s*(?:\)\]\}'|for\s*\(;;\);|while\s*\(1\);)\s*")
_FIELD = re.compile(r"^(?:data|event|id|retry)?:")
_FIELD_NAMES = ("data:", "event:", "id:", "retry:")
_TAGGED = re.compile(r'^[0-9a-zA-Z]{1,6}:(?:["\[{]|[TI]|null)')
_JSON_HEAD = re.compile(r'^(?:\d+\s*\n\s*)?(?:\{\s*["}]|\[\s*[\[{"\d\]ntf-])')
_ENGINE = re.compile(r'^(?:\d+:)?(?:0\{"sid"|4\d?[\d/]*[\[{]|40|[236](?:\x1e|$))')


def sniff(text: str, content_type: str, url: str = "", *, final: bool) -> str | None:
    """The framing of a body that begins with ``text``; None while that is too short to say."""
    head = _GUARD.sub("", text.lstrip("\ufeff")).lstrip()
    if ("EIO=" in url or "socket.io" in url) and (final or len(head) > 1):
        return SOCKETIO if _ENGINE.match(head) or "\x1e" in head else TEXT
    if (
        "event-stream" in content_type
        and any(name.startswith(head[:6]) for name in _FIELD_NAMES)
        and not final
    ):
        return None if len(head) < 6 and not _FIELD.match(head) else SSE
    if not head and not final:
        return None
    if _FIELD.match(head) and ("event-stream" in content_type or not head.startswith(":")):
        return SSE
    if _JSON_HEAD.match(head):
        return JSON
    if _TAGGED.match(head):
        return LINES
    if final or len(head) > 16 or not re.match(r"^[\d\s\[{\w:]*$", head):
        return TEXT
    return None


class BodyFraming:
    """One HTTP response: pieces of text in, messages out."""

    def __init__(self, content_type: str = "", url: str = "") -> None:
        self.kind: str | None = None
        self.dropped = False
        self._type = content_type.lower()
        self._url = url
        self._head = ""
        self._sse = SseParser()
        self._scan = JsonScanner()
        self._body: list[str] = []
        self._held = 0
        self._line = ""

    def feed(self, text: str, *, final: bool = False) -> list[Message]:
        if self.kind is None:
            self._head += text
            self.kind = sniff(self._head, self._type, self._url, final=final)
            if self.kind is None:
                return []
            text, self._head = self._head, ""
            if self.kind == JSON:
                text = _GUARD.sub("", text)
        out = self._parse(text)
        if final:
            out += self._finish()
        return out

    def _parse(self, text: str) -> list[Message]:
        if not text:
            return []
        if self.kind == SSE:
            return self._sse.feed(text)
        if self.kind == TEXT:
            return [Message(text)]
        if self.kind == LINES:
            lines = (self._line + text).split("\n")
            self._line = lines.pop()
            return [message for line in lines for message in tagged_line(line)]
        self._hold(text)
        if self.kind == SOCKETIO:
            return []
        out = [Message(value) for value in self._scan.feed(text)]
        if self._scan.malformed and not self._scan.values and self._body:  # it only looked like JSON
            self.kind = TEXT
            whole, self._body = "".join(self._body), []
            return [Message(whole)]
        return out

    def _hold(self, text: str) -> None:
        self._held += len(text)
        if self._held > MAX_HELD_CHARS:
            self._body, self.dropped = [], True
        elif not self.dropped:
            self._body.append(text)

    def _finish(self) -> list[Message]:
        if self.kind == SSE:
            return self._sse.finish()
        if self.kind == LINES:
            line, self._line = self._line, ""
            return tagged_line(line)
        whole = "".join(self._body)
        if self.kind == SOCKETIO:
            from drivers.capture.packets import engine_payload

            return engine_payload(whole)
        if self.kind == JSON and whole and ("json" not in self._type or not self._scan.values):
            return [Message(whole, "#body")]  # the reply itself may be JSON, streamed as plain text
        return []


def tagged_line(line: str) -> list[Message]:
    """``0:"text"`` and the like: a short tag, a colon, a JSON value."""
    tag, colon, rest = line.strip().partition(":")
    value = parse_json(rest) if colon and len(tag) <= 6 else None
    return [] if value is None else [Message(value, tag)]
