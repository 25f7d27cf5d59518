"""Does a message say that a reply is over, or that it failed? By its structure, never by words for people."""

from __future__ import annotations

import re

from drivers.capture.framing import Message

_NAMING = frozenset(
    {"type", "event", "kind", "status", "state", "op", "action", "msg", "phase", "finish_reason"}
)
_FLAG = re.compile(r"(is_?)?(done|end|ended|eos|final|finished|complete|completed|last)", re.IGNORECASE)
_OVER = re.compile(
    r"(?:^|[^a-z])(?:done|end|ended|eos|idle|final|finish|finished|complete|completed|stop|stopped|end_turn)(?:$|[^a-z])"
)
_PART = re.compile(
    r"tool|think|thought|reason|step|block|item|part|content|input|search|function|call|start|begin"
)
_FAILED = re.compile(r"(?:^|[^a-z])(?:error|errored|failed|failure|exception|aborted)(?:$|[^a-z])")
_FAILED_NAMING = _NAMING | {"code", "outcome", "result", "level", "severity"}
_FAILED_FLAG = re.compile(r"(?:is|has)?_?(?:error|errored|failed|failure)")
_CAUSES = frozenset({"error", "errors", "exception", "error_message"})
_WELL = frozenset({"success", "succeeded", "ok"})
_CAUSE_CHARS = 200
_TRIED = re.compile(r"tool|think|thought|reason|step|search")
"""What may fail within a reply that goes well."""
_DEPTH = 3
_WIDTH = 40


def says_end(message: Message) -> bool:
    """Whether a message names the end of a reply, and not that of one of its parts (a tool call, a thought)."""
    if _over(message.event):
        return True
    return _in(message.value, _DEPTH)


def says_failure(message: Message, *, whole: bool = False) -> str:
    """What a message names as the failure of a reply, shortened; "" where it names none.

    ``whole``: look below its first level too. Lists are not: earlier turns may be told again, with what failed then.
    """
    if _failed(message.event):
        return message.event
    return _failure_in(message.value, _DEPTH if whole else 0)


def _over(word: str) -> bool:
    plain = _plain(word)
    return bool(_OVER.search(plain)) and not _PART.search(plain)


def _failed(word: str) -> bool:
    plain = _plain(word)
    return bool(_FAILED.search(plain)) and not _PART.search(plain)


def _plain(word: str) -> str:
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", word).lower()[:80]


def _failure_in(value: object, depth: int) -> str:
    if isinstance(value, list):  # names of events stand first: ["error", …]
        if value and isinstance(value[0], str) and len(value[0]) < 40 and _failed(value[0]):
            return value[0]
        return ""
    if not isinstance(value, dict):
        return ""
    fields = [(_plain(str(key)), inner) for key, inner in list(value.items())[:_WIDTH]]
    if any(
        isinstance(inner, str) and name in _NAMING and _TRIED.search(_plain(inner)) for name, inner in fields
    ):
        return ""
    for name, inner in fields:
        if (inner is True and _FAILED_FLAG.fullmatch(name)) or (inner is False and name in _WELL):
            return f"{name}: {str(inner).lower()}"
        if name in _CAUSES and isinstance(inner, str | dict | list) and inner:
            return _cause(inner)
        if isinstance(inner, str) and name in _FAILED_NAMING and len(inner) < 40 and _failed(inner):
            return f"{name}: {inner}"
    if depth > 0:
        for name, inner in fields:
            found = ""
            if isinstance(inner, dict) and not _TRIED.search(name):
                found = _failure_in(inner, depth - 1)
            if found:
                return found
    return ""


def _cause(inner: object) -> str:
    if isinstance(inner, dict):
        inner = next((v for k, v in inner.items() if k in ("message", "reason", "detail")), "error")
    return (inner if isinstance(inner, str) and inner else "error")[:_CAUSE_CHARS]


def _in(value: object, depth: int) -> bool:
    if depth < 0:
        return False
    if isinstance(value, dict):
        for key, inner in list(value.items())[:_WIDTH]:
            if inner is True and _FLAG.fullmatch(str(key)):
                return True
            if isinstance(inner, str) and str(key).lower() in _NAMING and _over(inner):
                return True
            if isinstance(inner, dict | list) and _in(inner, depth - 1):
                return True
    elif isinstance(value, list):
        # Names of events stand first: ["done", …].
        if (
            value
            and isinstance(value[0], str)
            and len(value[0]) < 40
            and " " not in value[0]
            and _over(value[0])
        ):
            return True
        return any(_in(inner, depth - 1) for inner in value[:_WIDTH] if isinstance(inner, dict | list))
    return False
