"""What the wire did in answer to one prompt, read for signs of the reply's end. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

from drivers.capture import StreamActivity, StreamRule, WireActivity, url_pattern

POLL_SECONDS = 1.5
"""A reply that came by short answers has ended on the wire when none came for this long."""


@dataclass(frozen=True, slots=True)
class Answers:
    """``carriers``: addresses of the requests that carried the prompt. ``rule``: where replies are, if known."""

    wire: WireActivity
    carriers: Collection[str]
    rule: StreamRule | None = None

    def carried(self) -> list[StreamActivity]:
        """The responses to the requests that carried the prompt."""
        return [s for s in self.wire.streams if s.transport == "http" and s.url in self.carriers]

    def of_kind(self) -> list[StreamActivity]:
        """The responses, or the sockets, of the kind that the rule names; none where there is no rule."""
        rule = self.rule
        return [
            stream
            for stream in self.wire.streams
            if rule is not None
            and stream.transport == rule.transport
            and fnmatchcase(url_pattern(stream.url), rule.url)
        ]

    def ended(self, now: float) -> bool:
        """Has the stream that carries the reply ended? ``now``: time of the event loop, seconds.

        Many short answers are polls of one reply: that one of them ended says nothing. The answer to the very
        request that carried the prompt is no poll.
        """
        if not self.wire.reply_ended:
            return False
        http = [s for s in self.wire.streams if s.transport == "http"]
        answered = self.wire.reply_url in self.carriers and self.wire.reply_urls == 1
        over_socket = self.rule is not None and self.rule.transport == "websocket"
        if answered or over_socket or any(s.streaming for s in http):
            return True
        return now - max((s.last_byte_at for s in http), default=now) >= POLL_SECONDS

    def hung_up(self) -> bool:
        """Did the socket that carries the reply close without having said that the reply is over?"""
        over_socket = self.rule is not None and self.rule.transport == "websocket"
        return over_socket and bool(self.wire.reply_ended) and not self.wire.said_end

    def broke_off(self) -> bool:
        """Did the response of the reply break off? Others may: pages poll, and report home."""
        known = self.wire.reply_url is not None
        mine = {*self.carriers, self.wire.reply_url}
        return any("ABORTED" not in why and (not known or url in mine) for url, why in self.wire.failed)

    def request_open(self) -> bool:
        """Is a request that carried the prompt still without its whole answer?"""
        waiting = any(url in self.carriers for url in self.wire.waiting)
        return waiting or any(not s.ended for s in self.carried())

    def request_answered(self, began: float) -> bool:
        """Did the request that carried the prompt get an answer in pieces, the text (which ``began`` then) grow with
        them, and it end?"""
        carried = self.carried()
        return _over(carried) and any(s.streaming and s.last_byte_at >= began for s in carried)

    def in_answer(self) -> bool:
        """Did only requests that carried the prompt get responses of the kind that replies come on?"""
        carried, kind = self.carried(), self.of_kind()
        return bool(kind) and all(s in carried for s in kind)

    def answered(self) -> bool:
        """Were the requests that carried the prompt answered in full?"""
        return _over(self.carried())

    def streams_over(self) -> bool:
        """Have all responses of the kind that the rule names ended, cleanly, or all such sockets closed?"""
        return _over(self.of_kind())

    def response_over(self) -> bool:
        """Has a response of that kind ended? A socket that closed says nothing."""
        return any(s.ended and s.failure is None for s in self.of_kind() if s.transport == "http")


def _over(streams: list[StreamActivity]) -> bool:
    return bool(streams) and all(s.ended and s.failure is None for s in streams)
