"""When a bubble that was clicked is clicked again."""

from __future__ import annotations

from drivers.skills.settle import RELAUNCH_SECONDS, may_launch


def test_a_bubble_is_clicked_once_more_where_no_chat_came() -> None:
    assert may_launch([], 10.0)
    assert not may_launch([10.0], 10.0 + RELAUNCH_SECONDS / 2)
    assert may_launch([10.0], 10.0 + RELAUNCH_SECONDS)
    assert not may_launch([10.0, 14.0], 100.0), "twice is enough: it may be what closes the chat"
