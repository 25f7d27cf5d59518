"""Does a message say that a reply is over? Sockets stay open: only their protocol can tell."""

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
_DEPTH = 3
_WIDTH = 40


def says_end(message: Message) -> bool:
    """Whether a message names the end of a reply, and not that of one of its parts (a tool call, a thought)."""
    if _over(message.event):
        return True
    return _in(message.value, _DEPTH)


def _over(word: str) -> bool:
    plain = re.sub(r"([a-z])([A-Z])", r"\1_\2", word).lower()[:80]
    return bool(_OVER.search(plain)) and not _PART.search(plain)


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
