"""Streams that send changes to a document: JSON patch, paths with ``append``, and lists of such operations.

Three spellings are read, wherever they stand in a message:
``["append", ["a", 0], "text"]`` in a list; ``{"op": "add", "path": "/a/0", "value": …}`` alone or in a list;
``{"p": "/a/0", "o": "append", "v": …}``, where ``p`` and ``o`` may be left out and then mean the last ones.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from drivers.capture.framing import Json, Message
from drivers.capture.paths import Leaf, document_leaves

OPERATIONS = frozenset({"append", "add", "replace", "delete", "remove", "set", "patch", "insert", "concat"})
MAX_DOCUMENTS = 64
"""Documents kept for one stream; the oldest goes first."""
_RECENT = 8

Steps = list[str | int]


@dataclass(frozen=True, slots=True)
class Operation:
    kind: str
    steps: Steps
    value: Json


@dataclass(slots=True)
class PatchReader:
    """The documents that one stream's messages describe; gives the texts that each message touched."""

    recent: list[Json] = field(default_factory=list)
    documents: dict[str, list[Json]] = field(default_factory=dict)
    last: tuple[str, Steps] = ("append", [])
    sticky: bool = False

    def feed(self, message: Message) -> Iterator[Leaf]:
        value = message.value
        if not isinstance(value, dict | list):
            return
        found = list(self._find(value, "$", 0))
        event = (f"event={message.event}",) if message.event else ()
        for place, operations in found:
            box = self._document(place)
            for operation in operations:
                touched = apply(box, operation)
                if touched is not None:
                    for leaf in document_leaves(box[0], touched, place + "~"):
                        yield Leaf(leaf.text, leaf.paths, (*leaf.conditions, *event), leaf.group)
        if not found:
            for place in list(self.documents):  # a full value where changes came before is the new document
                full = _at(value, place)
                if isinstance(full, dict | list):
                    self.documents[place] = [copy.deepcopy(full)]
            self.recent = [*self.recent[-_RECENT + 1 :], value]

    def _document(self, place: str) -> list[Json]:
        if place not in self.documents:
            base = next((v for m in reversed(self.recent) if (v := _at(m, place)) is not None), None)
            self.documents[place] = [copy.deepcopy(base) if place != "$" else None]
            if len(self.documents) > MAX_DOCUMENTS:
                self.documents.pop(next(iter(self.documents)))
        return self.documents[place]

    def _find(self, node: Json, place: str, depth: int) -> Iterator[tuple[str, list[Operation]]]:
        operations = self._read(node)
        if operations:
            yield place, operations
            return
        if depth > 6:
            return
        if isinstance(node, dict):
            for key, value in node.items():
                if isinstance(value, dict | list):
                    yield from self._find(value, f"{place}.{key}", depth + 1)
        elif isinstance(node, list) and len(node) <= 64:
            for at, value in enumerate(node):
                if isinstance(value, dict | list):
                    yield from self._find(value, f"{place}[{at}]", depth + 1)

    def _read(self, node: Json) -> list[Operation]:
        if isinstance(node, dict):
            return self._short(node) or [op for op in (_named(node),) if op]
        if isinstance(node, list) and node:
            items = [_triple(item) if isinstance(item, list) else _named(item) for item in node]
            if all(items):
                return [item for item in items if item]
        return []

    def _short(self, node: dict[str, Any]) -> list[Operation]:
        """``p``, ``o``, ``v`` with memory."""
        if "v" not in node or not set(node) <= {"p", "o", "v", "c"}:
            return []
        if "p" not in node and "o" not in node and not self.sticky and not isinstance(node["v"], str):
            return [Operation("add", [], node["v"])] if isinstance(node["v"], dict) else []
        kind, steps = str(node.get("o", self.last[0])), self.last[1]
        if isinstance(node.get("p"), str):
            steps = pointer(node["p"])
        if kind == "patch" and isinstance(node["v"], list):
            return [op for item in node["v"] if isinstance(item, dict) for op in self._short(item)]
        if kind not in OPERATIONS:
            return []
        if isinstance(node["v"], str) or steps:
            self.last, self.sticky = (kind, steps), True
        return [Operation(kind, steps, node["v"])]


def _named(node: Json) -> Operation | None:
    if not isinstance(node, dict):
        return None
    kind, path = node.get("op"), node.get("path")
    if isinstance(kind, str) and kind in OPERATIONS and isinstance(path, str | list):
        return Operation(kind, pointer(path), node.get("value"))
    return None


def _triple(node: list[Json]) -> Operation | None:
    if (
        len(node) == 3
        and isinstance(node[0], str)
        and node[0] in OPERATIONS
        and isinstance(node[1], str | list)
    ):
        return Operation(node[0], pointer(node[1]), node[2])
    return None


def pointer(path: str | list[Any]) -> Steps:
    """A JSON pointer, or a list of steps, as steps; numbers are indices."""
    if isinstance(path, list):
        return [step if isinstance(step, int) else str(step) for step in path]
    parts = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]] if path else []
    return [int(part) if part.isdigit() else part for part in parts]


def apply(box: list[Json], operation: Operation) -> Steps | None:
    """Do one operation on the document in ``box[0]``; give the steps to what it touched, None if it did not fit."""
    kind, steps, value = operation.kind, list(operation.steps), operation.value
    if not steps:
        if kind in ("append", "concat") and isinstance(box[0], str) and isinstance(value, str):
            box[0] += value
        else:
            box[0] = copy.deepcopy(value)
        return []
    if box[0] is None:
        box[0] = [] if isinstance(steps[0], int) else {}
    node = box[0]
    for step, following in itertools.pairwise(steps):
        node = _child(node, step, [] if isinstance(following, int) or following == "-" else {})
        if node is None:
            return None
    return _change(node, steps, kind, value)


def _child(node: Json, step: str | int, empty: Json) -> Json | None:
    if isinstance(node, list) and isinstance(step, int):
        if step == len(node):
            node.append(empty)
        return node[step] if -len(node) <= step < len(node) else None
    if isinstance(node, dict):
        return node.setdefault(str(step), empty)
    return None


def _change(node: Json, steps: Steps, kind: str, value: Json) -> Steps | None:
    step = steps[-1]
    if isinstance(node, dict):
        key = str(step)
        if kind in ("delete", "remove"):
            node.pop(key, None)
            return None
        old = node.get(key)
        if kind in ("append", "concat") and isinstance(old, str) and isinstance(value, str):
            node[key] = old + value
        elif kind == "append" and isinstance(old, list):
            old.extend(value if isinstance(value, list) else [value])
        elif kind == "append" and isinstance(old, dict) and isinstance(value, dict):
            old.update(value)
        else:
            node[key] = copy.deepcopy(value)
        return steps
    if not isinstance(node, list):
        return None
    at = len(node) if step == "-" else step
    if not isinstance(at, int) or not 0 <= at <= len(node):
        return None
    if kind in ("delete", "remove"):
        del node[at : at + 1]
        return None
    if (
        kind in ("append", "concat")
        and at < len(node)
        and isinstance(node[at], str)
        and isinstance(value, str)
    ):
        node[at] += value
    elif kind in ("replace", "set", "append", "concat") and at < len(node):
        node[at] = copy.deepcopy(value)
    else:
        node.insert(at, copy.deepcopy(value))
    return [*steps[:-1], at]


def _at(node: Json, place: str) -> Json | None:
    """The value at a place that ``_find`` made."""
    at = 1
    while at < len(place):
        if place[at] == "[":
            end = place.index("]", at)
            index = int(place[at + 1 : end])
            if not isinstance(node, list) or index >= len(node):
                return None
            node, at = node[index], end + 1
        else:
            end = min(
                (e for e in (place.find(".", at + 1), place.find("[", at + 1)) if e > 0), default=len(place)
            )
            if not isinstance(node, dict) or place[at + 1 : end] not in node:
                return None
            node, at = node[place[at + 1 : end]], end
    return node
