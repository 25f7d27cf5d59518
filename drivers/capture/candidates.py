"""What may be the reply: for every path, condition and id, the pieces joined and the last value."""

from __future__ import annotations

import base64
import binascii
import bisect
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field

from drivers.capture.framing import Message
from drivers.capture.patches import PatchReader
from drivers.capture.paths import Leaf, leaves
from drivers.capture.rule import APPEND, PATCH, SNAPSHOT, WHOLE, StreamRule

MAX_KEYS = 6000
"""Different (path, conditions, id) of one logical stream; later ones are not followed."""
SOFT_CHARS = 400_000
"""Beyond this, pieces that repeat what was before are dropped and only the last value is kept."""
MAX_CHARS = 8_000_000
"""Beyond this, pieces are dropped whatever they are."""
MAX_WHOLE = 64
"""So many of the newest single values of a path are tried as whole replies."""
_TAIL_CHARS, _CARET_CHARS, _STEM_CHARS = 200, 8, 8
_CLOSING = "*_~`)]}>\"'$|… \n▌█▍▋●"
_END_TAGS = re.compile(r"(?:\s*</[\w-]+>)+\s*$")


@dataclass(frozen=True, slots=True)
class Key:
    path: str
    where: tuple[str, ...]
    group: str = ""
    group_value: str = ""


@dataclass(slots=True)
class Track:
    """The values of one key, one for each message that had it."""

    pieces: list[str] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    """The connection that each piece came on."""
    given: dict[int, int] = field(default_factory=dict)
    """Characters by connection."""
    last: str = ""
    count: int = 0
    grew: int = 0
    chars: int = 0
    dropped: bool = False
    connection: int = -1
    """Of the last value."""
    first_at: int = 0

    def add(self, text: str, connection: int, at: int) -> None:
        if self.count == 0:
            self.first_at = at
        self.connection = connection
        if self.count and (text == self.last or goes_on_from(text, self.last)):
            self.grew += 1
        self.count += 1
        self.last = text
        self.chars += len(text)
        self.given[connection] = self.given.get(connection, 0) + len(text)
        if self.dropped:
            return
        self.pieces.append(text)
        self.owners.append(connection)
        repeats = self.grew >= 0.6 * (self.count - 1)
        if self.chars > MAX_CHARS or (self.chars > SOFT_CHARS and repeats and self.count > 8):
            self.pieces, self.owners, self.dropped = [], [], True

    @property
    def snapshots(self) -> bool:
        """Whether each value holds the one before."""
        return self.count > 1 and self.grew >= 0.8 * (self.count - 1)

    def apart(self) -> dict[int, list[str]]:
        """The pieces of each connection, where there are several: answers that came side by side, or polls."""
        found: dict[int, list[str]] = {}
        for owner, piece in zip(self.owners, self.pieces, strict=True):
            found.setdefault(owner, []).append(piece)
        return found if len(found) > 1 else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    text: str
    rule: StreamRule
    growth: int
    """In how many steps it came; a rule that grows is worth more for streaming."""
    first_at: int
    connection: int
    """Number of the connection that it, or its end, came on."""
    share: float = 1.0
    """How much of what this path gave on that connection it is."""


@dataclass(slots=True)
class LogicalStream:
    """All responses of one kind of address, or all sockets of one, as one sequence of messages."""

    url: str
    transport: str
    framing: str = "json"
    tracks: dict[Key, Track] = field(default_factory=dict)
    patches: PatchReader = field(default_factory=PatchReader)
    messages: int = 0
    overflowed: bool = False
    openings: list[tuple[int, Leaf]] = field(default_factory=list)
    """The first texts seen, for replies whose first piece travels apart."""

    def feed(self, message: Message, connection: int) -> None:
        self.messages += 1
        joined: dict[Key, list[str]] = {}
        for leaf in (*leaves(message), *self.patches.feed(message)):
            if len(self.openings) < 400:
                self.openings.append((self.messages, leaf))
            for key in keys_of(leaf):
                joined.setdefault(key, []).append(leaf.text)
        for key, texts in joined.items():
            track = self.tracks.get(key)
            if track is None:
                if len(self.tracks) >= MAX_KEYS:
                    self.overflowed = True
                    continue
                track = self.tracks[key] = Track()
            track.add("".join(texts), connection, self.messages)

    def candidates(self) -> Iterator[Candidate]:
        for key, track in list(self.tracks.items()):
            yield from self._of(key, track)

    def _of(self, key: Key, track: Track) -> Iterator[Candidate]:
        patched = "~" in key.path
        growing = PATCH if patched else SNAPSHOT
        mode = growing if track.count > 1 else WHOLE
        # A growing value comes in steps only when it holds what was before.
        yield self._candidate(key, track, track.last, mode, track.grew + 1 if track.snapshots else 1)
        if track.dropped or track.count < 2:
            return
        newest = dict(zip(track.pieces[-MAX_WHOLE:], track.owners[-MAX_WHOLE:], strict=True))
        outgrown = earlier_states([*newest])
        for value, owner in newest.items():
            if value != track.last and value not in outgrown:
                yield self._candidate(key, track, value, WHOLE, 1, connection=owner)
        if track.snapshots and track.count > 3:
            return
        joined = "".join(track.pieces)
        yield self._candidate(key, track, joined, APPEND, track.count)
        for owner, pieces in track.apart().items():
            if len(pieces) > 1:
                yield self._candidate(key, track, "".join(pieces), APPEND, len(pieces), connection=owner)
        for decode in DECODERS:
            text = decoded_pieces(track.pieces, decode)
            if text is not None:
                yield self._candidate(key, track, text, APPEND, track.count, decode)

    def _candidate(
        self,
        key: Key,
        track: Track,
        text: str,
        mode: str,
        growth: int,
        decode: str = "",
        connection: int | None = None,
    ) -> Candidate:
        rule = StreamRule(
            url=self.url,
            transport=self.transport,
            framing=self.framing,
            path=key.path,
            mode=mode,
            where=key.where,
            group=key.group,
            decode=decode,
        )
        owner = track.connection if connection is None else connection
        return Candidate(
            text=text,
            rule=rule,
            growth=growth,
            first_at=track.first_at,
            connection=owner,
            share=1.0 if growth > 1 or not text else len(text) / track.given[owner],
        )


def earlier_states(values: list[str]) -> set[str]:
    """Those that another one goes on from: what a text was while it grew is no reply, though a page that draws
    late may show just that."""
    ordered, found = sorted(values), set()
    for value in values:
        stem = _stem(value)
        for other in ordered[bisect.bisect_left(ordered, stem) :]:
            if not other.startswith(stem):
                break
            if len(other) > len(value):
                found.add(value)
                break
    return found


def goes_on_from(longer: str, text: str) -> bool:
    """Is ``text`` what ``longer`` was before it came to its end?"""
    if len(longer) <= len(text) or not longer.startswith(text[:_STEM_CHARS]):
        return False
    return longer.startswith(_stem(text))


def _stem(text: str) -> str:
    """A text without what is only at its end while it grows: a caret, marks that close what is open, end tags."""
    end = text[-_TAIL_CHARS:]
    stem = (text[: len(text) - len(end)] + _END_TAGS.sub("", end)).rstrip(_CLOSING)
    stem = stem[: len(stem) - min(_CARET_CHARS, len(stem) // 10)]
    return stem if len(stem) >= _STEM_CHARS else text


def keys_of(leaf: Leaf) -> Iterator[Key]:
    """The keys under which a text is kept: each path alone, with each condition, with all, and by id."""
    choices: list[tuple[str, ...]] = [()]
    choices += [(condition,) for condition in leaf.conditions]
    if len(leaf.conditions) > 1:
        choices.append(leaf.conditions)
    for path in leaf.paths:
        for where in choices:
            yield Key(path, where)
    if leaf.group is not None:
        for where in dict.fromkeys(((), leaf.conditions)):
            yield Key(leaf.paths[0], where, *leaf.group)


DECODERS = ("unescape", "percent", "base64")


def decode_piece(text: str, decode: str) -> str:
    """One piece as its text. Raises ValueError where it is not so encoded."""
    if decode == "unescape":
        return text.replace("\\r\\n", "\n").replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"')
    if decode == "percent":
        return urllib.parse.unquote(text, errors="strict")
    if decode == "base64":
        try:
            return base64.b64decode(text, validate=True).decode()
        except binascii.Error as error:
            raise ValueError(str(error)) from error
    return text


def decoded_pieces(pieces: list[str], decode: str) -> str | None:
    """All pieces decoded and joined; None when they are not so encoded."""
    joined = "".join(pieces)
    if decode == "unescape" and ("\n" in joined.strip() or "\\n" not in joined):
        return None
    if decode == "percent" and ("%" not in joined or any(c.isspace() for c in joined)):
        return None
    if decode == "base64" and (any(len(p) % 4 for p in pieces) or any(c.isspace() for c in joined)):
        return None
    try:
        return "".join(decode_piece(piece, decode) for piece in pieces)
    except ValueError:
        return None
