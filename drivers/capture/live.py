"""A known rule applied to messages as they come: the reply so far, and what changed."""

from __future__ import annotations

from drivers.capture.candidates import decode_piece
from drivers.capture.framing import Message
from drivers.capture.patches import PatchReader
from drivers.capture.paths import Leaf, leaves
from drivers.capture.rule import APPEND, WHOLE, StreamRule, WireDelta

MAX_REPLY_CHARS = 16_000_000
"""A reply that grows longer is not followed any more (``overflowed``)."""


class RuleReader:
    """Follows one reply by a rule. Feed it every message of the streams that the rule's address matches."""

    def __init__(self, rule: StreamRule) -> None:
        self.rule = rule
        self.seen = 0
        self.overflowed = False
        self._patches = PatchReader() if "~" in rule.path else None
        self._texts: dict[str, list[str]] = {}
        self._lengths: dict[str, int] = {}
        self._group: str | None = None
        self._shown = 0
        self._seed = ""

    @property
    def text(self) -> str:
        if self._group is None:
            return ""
        joined = "".join(self._texts[self._group])
        self._texts[self._group] = [joined]
        return joined

    def feed(self, message: Message, *, follows: bool = False) -> WireDelta | None:
        """The change that a message makes; None when it makes none. ``follows``: the last one that made a change
        came on the same response or socket."""
        found: list[str] = []
        group = ""
        source = leaves(message) if self._patches is None else self._patches.feed(message)
        for leaf in source:
            if self.matches(leaf):
                found.append(leaf.text)
                group = leaf.group[1] if self.rule.group and leaf.group else ""
            elif not self.seen and self.rule.seed and self.rule.seed in leaf.paths:
                self._seed = leaf.text  # the last one before the first piece
        if not found:
            return None
        self.seen += 1
        if self.seen == 1 and self.rule.mode == APPEND:
            found.insert(0, self._seed)
        return self._apply(group, "".join(found), follows=follows)

    def matches(self, leaf: Leaf) -> bool:
        rule = self.rule
        if rule.path not in leaf.paths or not all(where in leaf.conditions for where in rule.where):
            return False
        return not rule.group or (leaf.group is not None and leaf.group[0] == rule.group)

    def _apply(self, group: str, value: str, *, follows: bool) -> WireDelta | None:
        if self.rule.decode:
            try:
                value = decode_piece(value, self.rule.decode)
            except ValueError:
                return None
        if self.rule.mode == APPEND or (
            # Learned from a reply in one piece: how longer ones grow shows when the next piece is there.
            self.rule.mode == WHOLE and follows and group == self._group and not value.startswith(self.text)
        ):
            return self._append(group, value)
        return self._set(group, value)

    def _append(self, group: str, value: str) -> WireDelta | None:
        pieces = self._texts.setdefault(group, [])
        if self._lengths.get(group, 0) + len(value) > MAX_REPLY_CHARS:
            self.overflowed = True
            return None
        pieces.append(value)
        self._lengths[group] = self._lengths.get(group, 0) + len(value)
        if self._group == group:
            offset, self._shown = self._shown, self._lengths[group]
            return WireDelta(offset=offset, text=value) if value else None
        return self._take_over(group)

    def _set(self, group: str, value: str) -> WireDelta | None:
        if len(value) > MAX_REPLY_CHARS:
            self.overflowed = True
            return None
        if self._group != group:
            self._texts[group], self._lengths[group] = [value], len(value)
            return self._take_over(group)
        old = self.text
        self._texts[group], self._lengths[group] = [value], len(value)
        self._shown = len(value)
        return change(old, value)

    def _take_over(self, group: str) -> WireDelta | None:
        """Another id: it becomes the reply when it is longer than the one before."""
        if self._group is not None and self._lengths[group] <= self._lengths[self._group]:
            return None
        old = self.text
        self._group = group
        new = self.text
        self._shown = len(new)
        return change(old, new)


def change(old: str, new: str) -> WireDelta | None:
    """What turns ``old`` into ``new``."""
    if old == new:
        return None
    if new.startswith(old):
        return WireDelta(offset=len(old), text=new[len(old) :])
    same = common_prefix(old, new)
    return WireDelta(offset=same, text=new[same:], rewrite=True)


def common_prefix(first: str, second: str) -> int:
    """How many characters two texts share at the beginning."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first.startswith(second[:middle]):
            low = middle
        else:
            high = middle - 1
    return low
