from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.retry import MAX_RETRY_AFTER, RULES, FailureClass, decide, delay
from kernel.tasks import MAX_LOSSES, Counts, Stage, TaskError, TaskState, TroubleKind
from tests.unit.kernel.make import NOW, running


def error(
    kind: TroubleKind = TroubleKind.NO_REPLY,
    retry_after: float | None = None,
    stage: Stage = Stage.NONE,
    refused: bool = False,
) -> TaskError:
    return TaskError(kind=kind, reason="as it was", retry_after=retry_after, stage=stage, refused=refused)


def test_every_kind_of_trouble_has_a_rule() -> None:
    assert set(RULES) == set(TroubleKind)


def test_a_first_failure_is_tried_again() -> None:
    found = decide(running(), error(), now=NOW, jitter=0.5)
    assert found.state is TaskState.RETRY
    assert NOW < found.not_before < NOW + 2


def test_the_last_attempt_is_the_end() -> None:
    found = decide(running(failures=2, max_attempts=3), error(), now=NOW, jitter=0.5)
    assert found.state is TaskState.DEAD
    assert found.error.reason == "attempt 3 of 3 failed: as it was"


def test_a_browser_that_died_costs_no_attempt_but_its_number_is_limited() -> None:
    crash = error(TroubleKind.PAGE_CRASHED)
    again = decide(running(failures=2, max_attempts=3), crash, now=NOW, jitter=0.5)
    assert (again.state, again.counts) == (TaskState.RETRY, Counts.LOSS)
    assert again.rule.blame is FailureClass.INFRASTRUCTURE
    last = decide(running(losses=MAX_LOSSES - 1), crash, now=NOW, jitter=0.5)
    assert last.state is TaskState.DEAD


@pytest.mark.parametrize("kind", [TroubleKind.RATE_LIMIT, TroubleKind.LOGIN_WALL, TroubleKind.CHALLENGE])
def test_a_block_that_was_there_before_the_prompt_is_nobodys_attempt(kind: TroubleKind) -> None:
    task = running(failures=2, max_attempts=3)
    found = decide(task, error(kind), now=NOW, jitter=0.5)
    assert (found.state, found.counts) == (TaskState.RETRY, Counts.NOTHING)
    late = decide(running(deadline=NOW + 10), error(kind, retry_after=30), now=NOW, jitter=0.5)
    assert (late.state, late.error.kind) == (TaskState.DEAD, TroubleKind.DEADLINE)


def test_a_prompt_that_alone_is_refused_does_not_block_its_account_for_ever() -> None:
    task = running(failures=2, max_attempts=3, stage=Stage.ACCEPTED)
    assert (
        decide(task, error(TroubleKind.LOGIN_WALL, refused=True), now=NOW, jitter=0.5).state is TaskState.DEAD
    )
    waits = decide(task, error(TroubleKind.RATE_LIMIT, refused=True), now=NOW, jitter=0.5)
    assert (waits.state, waits.counts) == (TaskState.RETRY, Counts.NOTHING)


def test_what_cannot_be_harvested_is_dead_and_says_that_it_was_not_sent_twice() -> None:
    task = running(stage=Stage.ACCEPTED)
    found = decide(task, error(TroubleKind.UNHARVESTABLE), now=NOW, jitter=0.5)
    assert found.state is TaskState.DEAD
    assert found.stage is None
    assert "not sent twice" in found.error.reason
    assert "--resend" in found.error.reason


def test_no_time_left_is_a_deadline_that_names_the_trouble_before_it() -> None:
    found = decide(running(deadline=NOW + 10), error(retry_after=30), now=NOW, jitter=0.0)
    assert (found.state, found.error.kind) == (TaskState.DEAD, TroubleKind.DEADLINE)
    assert "no_reply" in found.error.reason


@pytest.mark.parametrize(
    ("stage", "kind", "kept"),
    [
        (Stage.TYPED, TroubleKind.NO_REPLY, Stage.NONE),
        (Stage.SUBMITTED, TroubleKind.SUBMIT_REFUSED, None),
        (Stage.SUBMITTED, TroubleKind.NO_REPLY, None),
        (Stage.SUBMITTED, TroubleKind.PAGE_CRASHED, None),
        (Stage.ACCEPTED, TroubleKind.SUBMIT_REFUSED, None),
        (Stage.ACCEPTED, TroubleKind.CUT_OFF, None),
    ],
)
def test_a_stage_is_forgotten_only_where_the_page_cannot_have_the_prompt(
    stage: Stage, kind: TroubleKind, kept: Stage | None
) -> None:
    assert decide(running(stage=stage), error(kind), now=NOW, jitter=0.5).stage is kept


@pytest.mark.parametrize("stage", [Stage.SUBMITTED, Stage.ACCEPTED])
@pytest.mark.parametrize("kind", [TroubleKind.SUBMIT_REFUSED, TroubleKind.RATE_LIMIT, TroubleKind.LOGIN_WALL])
def test_a_proved_refusal_forgets_the_stage(stage: Stage, kind: TroubleKind) -> None:
    assert decide(running(stage=stage), error(kind, refused=True), now=NOW, jitter=0.5).stage is Stage.NONE


@given(
    st.sampled_from(TroubleKind),
    st.integers(0, 10_000),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(allow_nan=False, allow_infinity=True),
)
def test_a_delay_is_bounded_and_honours_the_page(
    kind: TroubleKind, failures: int, jitter: float, asked: float | None
) -> None:
    rule = RULES[kind]
    seconds = delay(rule, failures=failures, error=error(kind, asked), jitter=jitter)
    assert 0 <= seconds <= max(rule.cap, MAX_RETRY_AFTER * 1.1)
    if asked is not None and 0 < asked <= MAX_RETRY_AFTER:
        assert seconds >= asked


@given(
    st.sampled_from(TroubleKind),
    st.sampled_from(Stage),
    st.sampled_from(Stage),
    st.booleans(),
    st.integers(0, 5),
    st.integers(0, 3),
    st.integers(1, 5),
    st.floats(0, 1, exclude_max=True),
)
def test_no_decision_can_send_a_prompt_twice(
    kind: TroubleKind,
    stage: Stage,
    told: Stage,
    refused: bool,
    failures: int,
    losses: int,
    max_attempts: int,
    jitter: float,
) -> None:
    task = running(stage=stage, failures=failures, losses=losses, max_attempts=max_attempts)
    found = decide(task, error(kind, stage=told, refused=refused), now=NOW, jitter=jitter)
    assert found.state in (TaskState.RETRY, TaskState.DEAD)
    if found.stage is Stage.NONE and stage.rank >= Stage.SUBMITTED.rank:
        assert refused
    if found.state is TaskState.RETRY:
        assert NOW <= found.not_before < task.deadline
