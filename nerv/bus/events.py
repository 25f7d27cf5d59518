"""Numbers on events, so that a gap is seen: the publisher counts, the subscriber compares.

An event travels as ``[topic][numbers][envelope]``. A topic is ``<class>.<rest>``, like ``task.01J…``. ``numbers``
are two unsigned 64-bit integers, big endian: the number of this event within its source's stream of that class,
and within that topic. Who subscribes to a whole class follows the first, who subscribes to one topic the second.
"""

from __future__ import annotations

import struct
from collections import OrderedDict

from nerv.bus.envelope import Envelope

PROBE = "~probe."
"""The broker echoes a subscription to ``~probe.<unique>`` as an event of that topic: since subscriptions keep their
order, its arrival proves that all earlier ones of that socket are in force."""

_pack = struct.Struct(">QQ")


class Numbering:
    """The publisher's counters. Topics are many and short-lived, so only the last ``max_topics`` are remembered.

    A forgotten topic starts again at the class's number, which is never lower than before: its subscribers see a
    gap (too careful), never a smooth count over a loss.
    """

    def __init__(self, max_topics: int = 4096) -> None:
        self._max_topics = max_topics
        self._classes: dict[str, int] = {}
        self._topics: OrderedDict[str, int] = OrderedDict()

    def next(self, topic: str) -> bytes:
        name = topic.partition(".")[0]
        in_class = self._classes[name] = self._classes.get(name, 0) + 1
        before = self._topics.pop(topic, None)
        in_topic = self._topics[topic] = in_class if before is None else before + 1
        if len(self._topics) > self._max_topics:
            self._topics.popitem(last=False)
        return _pack.pack(in_class, in_topic)


def numbers_of(frame: bytes) -> tuple[int, int]:
    """(in class, in topic); raises ValueError."""
    if len(frame) != _pack.size:
        raise ValueError(f"the numbers of an event are {_pack.size} bytes, not {len(frame)}")
    in_class, in_topic = _pack.unpack(frame)
    return in_class, in_topic


def covers_class(pattern: str) -> bool:
    """Whether a subscription to this prefix receives every event of each class it touches."""
    return "." not in pattern.rstrip(".") and (pattern == "" or pattern.endswith("."))


class GapDetector:
    """The subscriber's memory: the last number of each stream it follows. Bounded; the idle ones go first."""

    def __init__(self, max_streams: int = 4096) -> None:
        self._max_streams = max_streams
        self._last: OrderedDict[tuple[str, str, str], int] = OrderedDict()

    def missed(self, envelope: Envelope, stream: str, number: int) -> int:
        """How many events of this stream were lost just before this one. The first one seen tells nothing."""
        life = envelope.id.partition("-")[0]
        key = (envelope.source, life, stream)
        last = self._last.pop(key, None)
        self._last[key] = max(number, last or 0)
        if len(self._last) > self._max_streams:
            self._last.popitem(last=False)
        if last is None or number <= last:
            return 0
        return number - last - 1
