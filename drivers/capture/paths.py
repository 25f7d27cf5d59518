"""Every text in a message, with the paths and conditions by which a rule can find its like again."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from drivers.capture.binary import binary_messages
from drivers.capture.framing import Json, Message, SseParser, parse_json
from drivers.capture.rule import looks_like_id

MAX_LEAVES = 4000
"""Texts read from one message; the rest of a larger message is not looked at."""
MAX_DEPTH = 28
MAX_CONDITIONS = 6

_KIND_KEYS = frozenset(
    """
    type event kind op msg action role channel subtype messagetype message_type method phase name status
    author sender from source by step node agent object objecttype speaker isuser is_user isbot is_bot
    isinput final done
    """.split()  # noqa: SIM905
)
_WHO_KEYS = frozenset({"from", "author", "sender", "user", "speaker"})
_THOUGHT_KEYS = frozenset(
    {"thought", "thinking", "reasoning", "isthought", "is_thought", "isthinking", "hidden"}
)
_ID_KEYS = (
    "id",
    "message_id",
    "messageId",
    "msg_id",
    "msgId",
    "item_id",
    "run_id",
    "step_id",
    "uuid",
    "event_id",
)
_ENUM = re.compile(r"^[A-Za-z_][\w.:/@-]{0,39}$")
_BASE64 = re.compile(r"^[A-Za-z0-9+/_-]+={0,2}$")
_PLAIN_KEY = re.compile(r"^[A-Za-z0-9_$@-]+$")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One text. ``paths``: with every index a wildcard, with ``[-1]`` where all are last items, with
    only the outermost so, and exact. ``conditions``: ``path=value`` of the kinds on the way to it.
    ``group``: (path, value) of the id of
    the nearest object that has one."""

    text: str
    paths: tuple[str, ...]
    conditions: tuple[str, ...]
    group: tuple[str, str] | None = None


@dataclass(slots=True)
class _Place:
    wild: str
    last: str | None
    outer: str | None
    exact: str
    conditions: tuple[str, ...]
    group: tuple[str, str] | None

    def key(self, key: str) -> _Place:
        name = "*" if looks_like_id(key) else key
        exact = f".{key}" if _PLAIN_KEY.match(key) else f"[{key!r}]"
        step = ".*" if name == "*" else exact
        return self._step(step, step, step, exact)

    def index(self, at: int, size: int) -> _Place:
        last = "[-1]" if at == size - 1 else None
        outer = f"[{at}]" if self.outer is not None and "[-1]" in self.outer else last
        return self._step("[*]", last, outer, f"[{at}]")

    def into(self, mark: str) -> _Place:
        return self._step(mark, mark, mark, mark)

    def _step(self, wild: str, last: str | None, outer: str | None, exact: str) -> _Place:
        return _Place(
            self.wild + wild,
            None if last is None or self.last is None else self.last + last,
            None if outer is None or self.outer is None else self.outer + outer,
            self.exact + exact,
            self.conditions,
            self.group,
        )

    def leaf(self, text: str) -> Leaf:
        paths = dict.fromkeys(
            path for path in (self.wild, self.last, self.outer, self.exact) if path is not None
        )
        return Leaf(text, tuple(paths), self.conditions, self.group)


def leaves(message: Message) -> Iterator[Leaf]:
    """The texts of a message, outer before inner, at most ``MAX_LEAVES``."""
    conditions = (f"event={message.event}",) if message.event else ()
    if isinstance(message.value, str):
        yield from _root_text(message, conditions)
        return
    place = _Place("$", "$", "$", "$", conditions, None)
    for count, leaf in enumerate(_walk(message.value, place, 0)):
        if count >= MAX_LEAVES:
            return
        yield leaf


def _root_text(message: Message, conditions: tuple[str, ...]) -> Iterator[Leaf]:
    place = _Place("$", "$", "$", "$", conditions, None)
    yield place.leaf(message.value)
    if message.raw is not None:
        yield _Place("$raw", "$raw", "$raw", "$raw", conditions, None).leaf(message.raw)
    for mark, value in _nested(message.value):
        yield from _walk(value, place.into(mark), 1)


def document_leaves(root: Json, steps: list[str | int], prefix: str) -> Iterator[Leaf]:
    """The texts at and below ``steps`` of a patched document; paths begin with ``prefix``."""
    place = _Place(prefix, prefix, prefix, prefix, (), None)
    node = root
    for step in steps:
        place = _enter(node, place)
        if isinstance(node, list) and isinstance(step, int) and -len(node) <= step < len(node):
            at = step % len(node)
            place, node = place.index(at, len(node)), node[at]
        elif isinstance(node, dict) and str(step) in node:
            place, node = place.key(str(step)), node[str(step)]
        else:
            return
    yield from _walk(node, place, 0)


def _enter(node: Json, place: _Place) -> _Place:
    """The place with the conditions and the id that an object adds for all below it."""
    if isinstance(node, dict):
        found = list(_object_conditions(node, place.wild))
        group = place.group
        for key in _ID_KEYS:
            value = node.get(key)
            if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
                group = (f"{place.wild}.{key}", str(value))
                break
        if found or group != place.group:
            kept = (*found, *place.conditions)[:MAX_CONDITIONS]
            return _Place(place.wild, place.last, place.outer, place.exact, kept, group)
    elif isinstance(node, list) and len(node) <= 6 and any(isinstance(item, dict | list) for item in node):
        names = [
            f"{place.exact}[{i}]={v}" for i, v in enumerate(node) if isinstance(v, str) and _ENUM.match(v)
        ]
        if names:
            kept = (*names[-3:], *place.conditions)[:MAX_CONDITIONS]
            return _Place(place.wild, place.last, place.outer, place.exact, kept, place.group)
    return place


def _object_conditions(node: dict[str, Any], path: str) -> Iterator[str]:
    thought = None
    for key, value in node.items():
        low = str(key).lower()
        if low in _KIND_KEYS and (isinstance(value, bool) or (isinstance(value, str) and _ENUM.match(value))):
            yield f"{path}.{key}={_plain(value)}"
        if low in _WHO_KEYS and isinstance(value, dict):
            for inner, name in value.items():
                if str(inner).lower() in _KIND_KEYS and isinstance(name, str) and _ENUM.match(name):
                    yield f"{path}.{key}.{inner}={name}"
        if low in _THOUGHT_KEYS and isinstance(value, bool):
            thought = value
    if thought is not None or any(isinstance(value, str) and len(value) > 0 for value in node.values()):
        yield f"{path}?thought={_plain(bool(thought))}"


def _plain(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value


def _walk(node: Json, place: _Place, depth: int) -> Iterator[Leaf]:
    if isinstance(node, str):
        if node:
            yield place.leaf(
                node.replace("\0", "") if "\0" in node else node
            )  # some pad every token with NULs
            if depth < MAX_DEPTH:
                for mark, value in _nested(node):
                    yield from _walk(value, place.into(mark), depth + 1)
    elif isinstance(node, dict):
        if depth < MAX_DEPTH:
            inner = _enter(node, place)
            for key, value in node.items():
                if isinstance(value, str | dict | list):
                    yield from _walk(value, inner.key(str(key)), depth + 1)
    elif isinstance(node, list) and depth < MAX_DEPTH:
        inner = _enter(node, place)
        for at, value in enumerate(node):
            if isinstance(value, str | dict | list):
                yield from _walk(value, inner.index(at, len(node)), depth + 1)


def _nested(text: str) -> Iterator[tuple[str, Json]]:
    """JSON (or events, or JSON or protobuf in base64) inside a string, with the mark of the step into it."""
    head, tail = text[:1], text.rstrip()[-1:]
    if (head == "{" and tail == "}") or (head == "[" and tail == "]"):
        value = parse_json(text)
        if isinstance(value, dict | list):
            yield "@", value
    elif text.startswith(("data:", "event:")) and "\n" in text:
        parser = SseParser()
        for message in parser.feed(text) + parser.finish():
            if isinstance(message.value, dict | list):
                yield "@", message.value
    elif len(text) >= 24 and len(text) % 4 == 0 and _BASE64.match(text):
        try:
            data = base64.b64decode(
                text, altchars=b"-_" if "-" in text or "_" in text else None, validate=True
            )
        except binascii.Error:
            return
        for inner in binary_messages(data):
            if isinstance(inner.value, dict | list):
                yield "@", inner.value
