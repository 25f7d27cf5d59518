"""What leaves a page, and what of it nobody took."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from playwright.async_api import Page

from drivers.outgoing import OutgoingWatch
from drivers.trouble import HttpFailure

URL = "http://h/api/send"


class Request:
    def __init__(self, body: str, url: str = URL) -> None:
        self.url, self.post_data_buffer = url, body.encode()

    def is_navigation_request(self) -> bool:
        return False


class Socket:
    def on(self, _: str, handler: Callable[[str], None]) -> None:
        self.send = handler


class FakePage:
    """Emits what a page of Playwright would."""

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[[Any], None]] = {}

    def on(self, event: str, handler: Callable[[Any], None]) -> None:
        self.handlers[event] = handler


def watched(*bodies: str, frames: tuple[str, ...] = ()) -> OutgoingWatch:
    """After these requests and socket frames of a page that was given the prompt "tell me of ants"."""
    page = FakePage()
    watch = OutgoingWatch(cast(Page, page))
    socket = Socket()
    page.handlers["websocket"](socket)
    watch.begin("tell me of ants")
    for body in bodies:
        page.handlers["request"](Request(body))
    for frame in frames:
        socket.send(frame)
    return watch


def answers(*statuses: int) -> list[HttpFailure]:
    return [HttpFailure(status=status, url=URL) for status in statuses]


SENT = '{"text": "tell me of ants"}'


def test_a_prompt_whose_every_request_was_refused_is_nowhere() -> None:
    assert watched(SENT).refused(answers(429))
    assert watched(SENT, SENT).refused(answers(429, 403))


def test_one_request_that_was_not_refused_may_have_it() -> None:
    assert not watched(SENT).refused([])
    assert not watched(SENT, SENT).refused(answers(429))
    assert not watched(SENT).refused(answers(500)), "the server may have done it before it failed"
    assert not watched(SENT).refused([HttpFailure(status=429, url="http://h/other")])


def test_what_was_never_seen_to_leave_is_not_refused() -> None:
    assert not watched('{"beat": 1}').refused(answers(429))


def test_a_socket_that_carried_it_gives_no_answer() -> None:
    assert not watched(SENT, frames=(SENT,)).refused(answers(429))
    assert not watched(frames=(SENT,)).refused(answers(429))


def test_each_prompt_is_watched_anew() -> None:
    watch = watched(SENT, frames=(SENT,))
    watch.begin("another prompt")
    assert not watch.carried
    assert not watch.carriers
    assert not watch.unanswerable
