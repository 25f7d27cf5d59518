from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.tasks import TaskState
from tests.unit.tui.fake_cluster import make_task
from tui.filters import TaskFilter

TASKS = (
    make_task(1, TaskState.DONE, prompt="Write a poem"),
    make_task(2, TaskState.DEAD, prompt="Write a letter", provider="claude"),
    make_task(3, TaskState.RUNNING, prompt="done is a word of this prompt"),
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "123"),
        ("  ", "123"),
        ("WRITE", "12"),
        ("write !claude", "1"),
        ("state:done", "1"),
        ("done", "13"),
        ("!state:done", "23"),
        ("provider:cla", "2"),
        ("id:t000003x", "3"),
        ("state:", "123"),
        ("http://nowhere", ""),
    ],
)
def test_filter(text: str, found: str) -> None:
    assert "".join(task.id[-2] for task in TaskFilter(text).apply(TASKS)) == found


@given(st.text())
def test_every_text_is_a_filter(text: str) -> None:
    assert all(task in TASKS for task in TaskFilter(text).apply(TASKS))
