"""Which addresses name a conversation."""

from __future__ import annotations

import pytest

from drivers.conversation import conversation_address

HOME = "http://site/"


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (
            HOME,
            "http://site/c/7f8961b4-cff2-4483-964e-33ad4854507c",
            "http://site/c/7f8961b4-cff2-4483-964e-33ad4854507c",
        ),
        (HOME, "http://site/?thread=1", "http://site/?thread=1"),
        (HOME, "http://site/#/t/abc", "http://site/#/t/abc"),
        (HOME, "http://site", None),
        (HOME, HOME, None),
        ("http://site/chat", "http://site/chat", None),
        ("http://site/chat/a1b2c3d4e5", "http://site/chat/a1b2c3d4e5", "http://site/chat/a1b2c3d4e5"),
        (HOME, "about:blank", None),
    ],
)
def test_conversation_address(before: str, now: str, expected: str | None) -> None:
    assert conversation_address(HOME, before, now) == expected
