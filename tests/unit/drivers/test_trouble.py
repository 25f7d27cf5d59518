"""Troubles are told apart by structure."""

from __future__ import annotations

import pytest

from drivers.outgoing import needles
from drivers.trouble import HttpFailure, PageFacts, from_http, from_page, retry_after
from kernel.tasks import TroubleKind


@pytest.mark.parametrize(
    ("status", "asked", "kind"),
    [
        (429, True, TroubleKind.RATE_LIMIT),
        (429, False, TroubleKind.RATE_LIMIT),
        (401, True, TroubleKind.LOGIN_WALL),
        (403, True, TroubleKind.LOGIN_WALL),
        (503, True, TroubleKind.ERROR_DIALOG),
        (503, False, None),
        (404, True, None),
    ],
)
def test_http_failures(status: int, asked: bool, kind: TroubleKind | None) -> None:
    found = from_http([HttpFailure(status=status, url="http://x/api")], said_prompt=asked)
    assert (found.kind if found else None) is kind


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("Thu, 01 Jan 1970 00:17:40 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
        ("9" * 400, 999_999_999.0),
    ],
)
def test_how_long_a_server_asks_to_wait(header: str, seconds: float | None) -> None:
    assert retry_after(header, 1000.0) == seconds


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        (PageFacts(url="http://x/", passwords=1), TroubleKind.LOGIN_WALL),
        (PageFacts(url="http://x/", frames=("https://challenges.cloudflare.com/t",)), TroubleKind.CHALLENGE),
        (PageFacts(url="http://x/", status=429), TroubleKind.RATE_LIMIT),
        (PageFacts(url="http://x/", status=503), TroubleKind.UNREACHABLE),
        (PageFacts(url="http://x/", dialogs=("Oops",)), TroubleKind.ERROR_DIALOG),
        (PageFacts(url="http://x/", inputs=2), None),
    ],
)
def test_pages_without_an_input(facts: PageFacts, kind: TroubleKind | None) -> None:
    found = from_page(facts)
    assert (found.kind if found else None) is kind


@pytest.mark.parametrize(
    "body",
    [
        b'{"q":"Tell me about \\u00fcber rivers and lakes"}',
        b"q=Tell+me+about+%C3%BCber+rivers+and+lakes",
        b'42["msg","{\\"text\\":\\"Tell me about \xc3\xbcber rivers and lakes\\"}"]',
    ],
)
def test_a_prompt_is_seen_in_what_leaves_the_page(body: bytes) -> None:
    assert any(needle in body for needle in needles("Tell me about über rivers and lakes"))


@pytest.mark.parametrize(
    "body",
    [
        b'{"q":"two\\nlines"}',
        b"q=two%0D%0Alines&x=1",
        b"q=two%0Alines",
        b'42["m","{\\"t\\":\\"two\\\\nlines\\"}"]',
        b"two\nlines",
    ],
)
def test_a_prompt_of_short_lines_is_seen_too(body: bytes) -> None:
    """Else a page that keeps its prompt in the box would get it again by the next key."""
    assert any(needle in body for needle in needles("two\nlines"))


def test_another_request_is_not_taken_for_the_prompt() -> None:
    assert not any(needle in b'{"event":"page_view"}' for needle in needles("Tell me about rivers"))
