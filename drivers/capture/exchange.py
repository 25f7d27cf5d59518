"""One exchange on the wire: the messages since the prompt was sent, what of them is the reply, and its growth.

No browser in here: messages come from connections, times from the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import msgspec

from drivers.capture.candidates import Candidate, LogicalStream, goes_on_from
from drivers.capture.choose import best_rule, by_text, compare_thinking
from drivers.capture.connection import MAX_STREAM_BYTES, Connection
from drivers.capture.ending import says_end, says_failure
from drivers.capture.framing import Message
from drivers.capture.live import RuleReader, change
from drivers.capture.paths import Leaf
from drivers.capture.proof import Verdict, compare
from drivers.capture.rule import (
    APPEND,
    HTTP,
    WEBSOCKET,
    StreamActivity,
    StreamRule,
    WireActivity,
    WireDelta,
    WireReply,
    of_thoughts,
)
from drivers.capture.words import draws, page_words, visible
from drivers.trouble import HttpFailure

MAX_HISTORY_CHARS = 24_000_000
"""Messages kept for replay; when full they are folded into candidates only, and `follow` offers nothing new."""
MAX_STREAMS = 400
"""Connections remembered in one exchange; the oldest ended ones are forgotten first."""
MAX_LOGICAL = 64
"""Kinds of addresses whose messages are read in one exchange."""
MAIN_SHARE = 0.5
"""From this share of a stream on a single piece may be all of a reply."""
CANCELLED = "cancelled"
"""The failure of a response that the page itself gave up."""


@dataclass(slots=True)
class _Event:
    connection: Connection
    message: Message


@dataclass
class Exchange:
    """What travelled since ``began_at`` (event loop time) in answer to ``prompt``."""

    prompt: str
    rule: StreamRule | None = None
    on_delta: Callable[[WireDelta], None] | None = None
    began_at: float = 0.0
    connections: list[Connection] = field(default_factory=list)
    http_errors: list[HttpFailure] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)
    """Requests sent since then whose response has not begun: id to address."""
    overflowed: dict[str, None] = field(default_factory=dict)
    _history: list[_Event] = field(default_factory=list)
    _history_chars: int = 0
    _history_lost: bool = False
    _folded: int = 0
    _streams: dict[tuple[str, str], LogicalStream] = field(default_factory=dict)
    _reader: RuleReader | None = None
    _reply_on: Connection | None = None
    _aside: dict[int, RuleReader] = field(default_factory=dict)
    """Responses of the same kind that run beside the reply's (a title is made meanwhile), by connection number."""
    _numbers: int = 0
    _emitted: str | None = None
    _said_end: bool = False
    """The newest message of the reply's socket that mattered said that the reply is over."""
    _said_failure: str = ""
    """What the newest message of the reply's response or socket that mattered named as its failure."""

    def __post_init__(self) -> None:
        if self.rule is not None:
            self._reader = RuleReader(self.rule)

    # -- what arrives ---------------------------------------------------------------------------------

    def carried(self, connection: Connection, size: int, now: float) -> bool:
        """Count bytes (0: it began or ended); False when this connection has had its share and is not read further."""
        if connection not in self.connections:
            connection.received = connection.chunks = 0
            connection.number = self._numbers
            self._numbers += 1
            self.connections.append(connection)
            if len(self.connections) > MAX_STREAMS:
                oldest = next((c for c in self.connections if c.ended or c.closed), self.connections[0])
                self.connections.remove(oldest)
                self.overflowed[f"more than {MAX_STREAMS} streams"] = None
        if size:
            connection.received += size
            connection.chunks += 1
            connection.last_byte_at = now
        if connection.received > MAX_STREAM_BYTES:
            self.overflowed[f"{connection.pattern}: more than {MAX_STREAM_BYTES} bytes"] = None
            return False
        return True

    def take(self, connection: Connection, messages: list[Message], size: int) -> None:
        """Messages of a connection, ``size`` characters together."""
        if self._history_chars + size > MAX_HISTORY_CHARS:
            self._fold()
            self._history, self._folded, self._history_chars, self._history_lost = [], 0, 0, True
            self.overflowed["more messages than are kept for replay"] = None
        self._history_chars += size
        for message in messages:
            self._history.append(_Event(connection, message))
            if self._reader is not None and self._matches(self._reader.rule, connection):
                self._read(connection, message)

    def _matches(self, rule: StreamRule, connection: Connection) -> bool:
        return connection.transport == rule.transport and fnmatchcase(connection.pattern, rule.url)

    def _read(self, connection: Connection, message: Message) -> None:
        assert self._reader is not None
        on = self._reply_on
        beside = on is not None and on is not connection and connection.transport == HTTP and not on.ended
        if beside or connection.number in self._aside:
            self._read_aside(connection, message)
            return
        delta = self._reader.feed(message, follows=connection is on)
        self._note_end(message, connection, delta)
        if delta is not None:
            self._reply_on = connection
            self._emit(delta)

    def _read_aside(self, connection: Connection, message: Message) -> None:
        assert self._reader is not None
        reader = self._aside.setdefault(connection.number, RuleReader(self._reader.rule))
        reader.feed(message, follows=reader.seen > 0)

    def _turn_to(self, connection: Connection) -> None:
        """The reply comes on this one: what was taken for it goes aside."""
        assert self._reader is not None
        before, reader = self._reader, self._aside.pop(connection.number)
        if self._reply_on is not None:
            self._aside[self._reply_on.number] = before
        self._reader, self._reply_on = reader, connection
        correction = change(before.text, reader.text)
        if correction is not None and self.on_delta is not None:
            self.on_delta(correction)

    def _note_end(self, message: Message, connection: Connection, delta: WireDelta | None) -> None:
        failure = says_failure(message, whole=delta is None)
        self._said_failure = failure or (self._said_failure if delta is None else "")
        if connection.transport == WEBSOCKET and self._reader is not None and self._reader.seen:
            self._said_end = says_end(message) or (self._said_end and delta is None)

    def _emit(self, delta: WireDelta) -> None:
        if self._emitted is None and self._is_turn_of_user():
            self._emitted = ""  # the turn of the user, told where replies are: the next text takes its place
            return
        if self._emitted is not None:  # another rule spoke before: say what differs
            text, self._emitted = self._emitted, None
            correction = change(text, self._reader.text if self._reader else "")
            if correction is None:
                return
            delta = correction
        if self.on_delta is not None:
            self.on_delta(delta)

    # -- what was seen --------------------------------------------------------------------------------

    def activity(self) -> WireActivity:
        streams = tuple(
            StreamActivity(
                url=c.url,
                transport=c.transport,
                streaming=c.transport == WEBSOCKET or c.chunks > 1,
                received=c.received,
                last_byte_at=c.last_byte_at,
                ended=c.ended or c.closed,
                failure=c.failure,
            )
            for c in self.connections
        )
        bodies = [c for c in self.connections if c.transport == HTTP]
        reply_ended = None
        if self._reply_on is not None:
            on = self._reply_on
            reply_ended = on.ended if on.transport == HTTP else (True if on.closed else None)
        return WireActivity(
            streams=streams,
            last_byte_at=max((c.last_byte_at for c in self.connections if c.received), default=None),
            open_streams=sum(1 for c in bodies if not c.ended),
            ended=bool(bodies) and all(c.ended for c in bodies),
            reply_ended=reply_ended,
            said_end=self._said_end,
            said_failure=self._said_failure,
            reply_url=self._reply_on.url if self._reply_on is not None else None,
            reply_urls=sum(
                1
                for c in self.connections
                if self._reply_on is not None and c.pattern == self._reply_on.pattern
            ),
            failed=tuple(
                (c.url, c.failure) for c in self.connections if c.failure and c.failure != CANCELLED
            ),
            cancelled=tuple(c.url for c in self.connections if c.failure == CANCELLED),
            http_errors=tuple(self.http_errors),
            waiting=tuple(self.waiting.values()),
            closed=tuple(c.url for c in self.connections if c.closed),
            overflowed=tuple(self.overflowed),
        )

    # -- what is the reply ----------------------------------------------------------------------------

    def live_text(self) -> str | None:
        """The reply so far by the rule in use; None while there is none, or it has found only the turn of the user."""
        if self._reader is None or not self._reader.seen or self._is_turn_of_user():
            return None
        return self._reader.text

    def follow(self, page_text: str) -> StreamRule | None:
        """The rule by which the reply grows that the page shows in part; from then on deltas are emitted."""
        if len(page_words(page_text)) < 3:
            return self._reader.rule if self._reader is not None and self._reader.seen else None
        live = self.live_text()
        if live is not None and compare(live, page_text, partial=True).ok:
            return self._reader.rule if self._reader is not None else None
        if self._history_lost:
            return None
        grown = [c for c in self._candidates() if c.growth > 1]
        best: tuple[tuple[float, ...], Candidate] | None = None
        for text, group in by_text([*grown, *self._seeded(grown, page_text)], page_text):
            verdict = compare(text, page_text, partial=True)
            if verdict.ok and not self._is_prompt(text):
                candidate = best_rule(group)
                rank = (verdict.score, verdict.matched, candidate.growth)
                if best is None or rank > best[0]:
                    best = (rank, candidate)
        if best is None:
            return None
        self._use(best[1].rule, best[1].connection)
        return best[1].rule

    def _use(self, rule: StreamRule, number: int) -> None:
        """Read by this rule from the first message of the exchange on; ``number``: the connection of the reply."""
        before = self._reader.text if self._reader is not None and self._reader.seen else ""
        self._reader, self._emitted = RuleReader(rule), before
        self._aside = {}
        last: Connection | None = None
        events = [event for event in self._history if self._matches(rule, event.connection)]
        others = side_by_side([e.connection.number for e in events if e.connection.transport == HTTP]) - {
            number
        }
        for event in events:
            if event.connection.number in others:
                self._read_aside(event.connection, event.message)
            else:
                delta = self._reader.feed(event.message, follows=event.connection is last)
                self._note_end(event.message, event.connection, delta)
                last = event.connection
        self._reply_on = last
        correction = change(before, self._reader.text)
        self._emitted = None
        if correction is not None and self.on_delta is not None:
            self.on_delta(correction)

    def prove(self, page_text: str, *, part: bool = False) -> WireReply | None:
        """The text on the wire that is this reply; None when nothing is proved.

        ``part``: the text is of any part of the page: one piece of many does not count then.
        """
        live = self.live_text()
        if live and self._reader is not None and not self._is_prompt(live):
            verdict = compare(live, page_text)
            if verdict.exact and not self._reader.rule.seed:
                return _reply(live, self._reader.rule, verdict, self._reply_on, self._reader.seen)
        proved: list[tuple[tuple[float, ...], str, list[Candidate], Verdict]] = []
        candidates = [it for it in self._candidates() if not part or it.share >= MAIN_SHARE]
        for text, group in by_text([*candidates, *self._seeded(candidates, page_text)], page_text):
            if self._is_prompt(text):
                continue
            whole, verdict = compare_thinking(text, page_text)
            if verdict.ok:
                rank = (round(verdict.score, 5), float(len(whole.strip())), float(len(whole)))
                proved.append((rank, whole, group, verdict))
        if not proved:
            return self._prove_known(page_text)
        _, text, group, verdict = max(proved, key=lambda item: item[0])
        chosen = best_rule(group)
        on = next((c for c in self.connections if c.number == chosen.connection), None)
        if on is not None and on.number in self._aside:
            self._turn_to(on)
        outgrown = any(goes_on_from(it.text, text) for it in candidates)
        return _reply(text, chosen.rule, verdict, on, chosen.growth, outgrown=outgrown)

    def _prove_known(self, page_text: str) -> WireReply | None:
        """What the rule of earlier exchanges gave, though the page shows lines of its own between."""
        rule, text = self.rule, self.live_text()
        if (
            rule is None
            or not text
            or self._reader is None
            or self._reader.rule != rule
            or self._is_prompt(text)
        ):
            return None
        verdict = compare(text, page_text, known=True)
        return _reply(text, rule, verdict, self._reply_on, self._reader.seen) if verdict.ok else None

    def mentions(self, page_text: str) -> bool:
        """Whether anything that was heard holds at least half of the words that the page shows."""
        words = {word.text for word in page_words(page_text)}
        heard = (candidate.text.casefold() for candidate in self._candidates())
        return any(2 * sum(word in text for word in words) >= len(words) for text in heard)

    def drawn(self, page_text: str) -> bool:
        """Whether a response that has ended gave, as HTML, what the page shows of the reply, to the last word."""
        ended = {c.number for c in self.connections if c.transport == HTTP and c.ended and c.failure is None}
        whole = (it for it in self._candidates() if it.share >= MAIN_SHARE and it.connection in ended)
        return any(draws(it.text, page_text) for it in whole)

    def _seeded(self, candidates: list[Candidate], page_text: str) -> Iterator[Candidate]:
        """Joined pieces with a first piece that travelled just before them, under another path."""
        head = visible(page_text[:4000])[:400]
        seeds: dict[tuple[str, str], list[tuple[int, Leaf]]] = {}
        for key, stream in self._streams.items():
            seeds[key] = [
                (at, leaf)
                for at, leaf in stream.openings
                if len(leaf.text) < 2000 and (seen := visible(leaf.text)[:60]) and seen in head
            ]
        for candidate in candidates:
            rule = candidate.rule
            if rule.mode != APPEND or candidate.growth < 2 or rule.decode:
                continue
            for at, leaf in seeds[rule.url, rule.transport]:
                if candidate.first_at - 3 <= at < candidate.first_at:
                    yield Candidate(
                        text=leaf.text + candidate.text,
                        rule=msgspec.structs.replace(rule, seed=leaf.paths[0]),
                        growth=candidate.growth,
                        first_at=at,
                        connection=candidate.connection,
                    )

    def _is_turn_of_user(self) -> bool:
        """Is what the rule has found so far the prompt, told where replies are?"""
        return self._reader is not None and self._is_prompt(self._reader.text)

    def _is_prompt(self, text: str) -> bool:
        return " ".join(text.split()) == " ".join(self.prompt.split())

    def _candidates(self) -> Iterator[Candidate]:
        self._fold()
        for stream in self._streams.values():
            yield from (it for it in stream.candidates() if not of_thoughts(it.rule))

    def _fold(self) -> None:
        """Bring the messages since the last call into the candidates."""
        for event in self._history[self._folded :]:
            connection = event.connection
            key = (connection.pattern, connection.transport)
            stream = self._streams.get(key)
            if stream is None:
                if len(self._streams) >= MAX_LOGICAL:
                    self.overflowed[f"more than {MAX_LOGICAL} kinds of addresses"] = None
                    continue
                stream = self._streams[key] = LogicalStream(connection.pattern, connection.transport)
            stream.framing = connection.framing
            stream.feed(event.message, connection.number)
            if stream.overflowed:
                self.overflowed[f"{connection.pattern}: more paths than are followed"] = None
        self._folded = len(self._history)


def side_by_side(numbers: list[int]) -> set[int]:
    """Which connections overlap another one, given the connection of each message in order of arrival."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for at, number in enumerate(numbers):
        first.setdefault(number, at)
        last[number] = at
    found: set[int] = set()
    before: int | None = None
    for number in first:  # in order of their beginning
        if before is not None and first[number] < last[before]:
            found |= {before, number}
        if before is None or last[number] > last[before]:
            before = number
    return found


def _reply(
    text: str,
    rule: StreamRule,
    verdict: Verdict,
    on: Connection | None,
    steps: int,
    *,
    outgrown: bool = False,
) -> WireReply:
    return WireReply(
        text=text,
        rule=rule,
        exact=verdict.exact,
        score=verdict.score,
        why=verdict.why,
        steps=steps,
        open=on is not None and on.transport == HTTP and not on.ended,
        outgrown=outgrown,
    )
