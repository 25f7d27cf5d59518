from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.messages import TaskSubmit
from kernel.submission import MAX_ATTEMPTS, MAX_PRIORITY, MAX_SECONDS, near_names, task_from
from kernel.tasks import DEFAULT_TASK_SECONDS, MAX_PROMPT_CHARS, Task, TaskId, TaskState
from nerv.errors import ErrorCode, ErrorInfo
from tests.unit.kernel.make import NOW, a_submit

PROVIDERS = ("chatgpt", "claude", "gemini", "zai", "playground", "openwebui", "librechat")


def made(message: TaskSubmit, providers: tuple[str, ...] = PROVIDERS) -> Task | ErrorInfo:
    return task_from(message, id=TaskId("id"), now=NOW, providers=providers, created_by="me")


def refused(message: TaskSubmit, providers: tuple[str, ...] = PROVIDERS) -> ErrorInfo:
    answer = made(message, providers)
    assert isinstance(answer, ErrorInfo), answer
    assert answer.reason
    assert answer.fix
    return answer


def test_a_good_submission_is_a_pending_task() -> None:
    task = made(a_submit(prompt="hello", depends_on=("a", "b", "a")))
    assert isinstance(task, Task)
    assert (task.state, task.deadline, task.not_before) == (
        TaskState.PENDING,
        NOW + DEFAULT_TASK_SECONDS,
        0.0,
    )
    assert task.depends_on == ("a", "b")


def test_the_usual_time_counts_from_the_end_of_a_delay() -> None:
    task = made(a_submit(delay=5_000.0))
    assert isinstance(task, Task)
    assert (task.not_before, task.deadline) == (NOW + 5_000.0, NOW + 5_000.0 + DEFAULT_TASK_SECONDS)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"provider": ""}, "provider"),
        ({"account": ""}, "account"),
        ({"account": "a/b"}, "account"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": " \n\t\u3000"}, "prompt"),
        ({"prompt": "x" * (MAX_PROMPT_CHARS + 1)}, "prompt"),
        ({"prompt": "a\x00b"}, "prompt"),
        ({"prompt": "half \ud83d"}, "prompt"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": -3}, "max_attempts"),
        ({"max_attempts": MAX_ATTEMPTS + 1}, "max_attempts"),
        ({"priority": MAX_PRIORITY + 1}, "priority"),
        ({"delay": -1.0}, "delay"),
        ({"delay": math.nan}, "delay"),
        ({"delay": math.inf}, "delay"),
        ({"timeout": 0.0}, "timeout"),
        ({"timeout": -5.0}, "timeout"),
        ({"timeout": math.nan}, "timeout"),
        ({"timeout": MAX_SECONDS * 2}, "timeout"),
        ({"timeout": 10.0, "delay": 10.0}, "timeout"),
        ({"timeout": 1e-167}, "timeout"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"concurrency_key": "k" * 201}, "concurrency_key"),
        ({"depends_on": tuple(str(i) for i in range(101))}, "depends_on"),
        ({"payload": {"x": "y" * 300_000}}, "payload"),
    ],
)
def test_each_bad_field_is_named_with_a_fix(fields: dict[str, Any], field: str) -> None:
    error = refused(a_submit(**fields))
    assert (error.code, error.field) == (ErrorCode.INVALID, field)


def test_an_unknown_provider_lists_near_names() -> None:
    error = refused(a_submit(provider="Claud"))
    assert error.code is ErrorCode.UNKNOWN_PROVIDER
    assert error.field == "provider"
    assert "claude" in (error.fix or "")
    assert "chatgpt" not in (error.fix or "")


def test_nothing_near_and_nothing_known_still_say_what_to_do() -> None:
    assert "provider ls" in (refused(a_submit(provider="qqqqqq")).fix or "")
    assert "provider add" in (refused(a_submit(), providers=()).fix or "")


@given(st.text(max_size=30), st.sets(st.text(min_size=1, max_size=10), max_size=20))
def test_near_names_are_known_ones(name: str, known: set[str]) -> None:
    near = near_names(name, known)
    assert set(near) <= known
    assert len(near) <= 5


@given(
    st.builds(
        TaskSubmit,
        provider=st.sampled_from(PROVIDERS),
        prompt=st.text(max_size=20),
        priority=st.integers(-2000, 2000),
        max_attempts=st.integers(-5, 200),
        timeout=st.none() | st.floats(),
        delay=st.floats(),
    )
)
def test_whatever_is_accepted_can_run(message: TaskSubmit) -> None:
    task = made(message)
    if isinstance(task, Task):
        assert math.isfinite(task.deadline)
        assert task.not_before < task.deadline
        assert task.deadline > NOW
        assert task.prompt.strip()
    else:
        assert task.field
        assert task.fix
