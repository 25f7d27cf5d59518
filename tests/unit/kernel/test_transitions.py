from __future__ import annotations

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kernel import transitions
from kernel.messages import TaskSettle
from kernel.tasks import (
    FINAL_STATES,
    LEASABLE_STATES,
    MAX_LOSSES,
    Counts,
    Finish,
    LeaseToken,
    ReplySource,
    ReplySummary,
    Stage,
    TaskError,
    TaskState,
    TroubleKind,
    may_follow,
)
from kernel.transitions import DEADLINE_GRACE, Refusal, Step
from nerv.errors import ErrorCode
from tests.unit.kernel.make import NOW, a_task, running

TOKEN = LeaseToken("tok")
REPLY = ReplySummary(attempt=1, source=ReplySource.WIRE, finish=Finish.COMPLETE, length=1, sha256="0" * 64)
ERROR = TaskError(kind=TroubleKind.NO_REPLY, reason="nothing came")


def step(answer: Step | Refusal) -> Step:
    assert isinstance(answer, Step), answer
    return answer


def refusal(answer: Step | Refusal, code: ErrorCode) -> Refusal:
    assert isinstance(answer, Refusal), answer
    assert answer.error.code is code
    return answer


def settle(state: TaskState, token: str = "tok", **fields: object) -> TaskSettle:
    given = {"reply": REPLY} if state is TaskState.DONE else {"error": ERROR}
    return TaskSettle(id=a_task().id, token=LeaseToken(token), state=state, **{**given, **fields})  # type: ignore[arg-type]


def test_a_dead_end_goes_by_way_of_failed() -> None:
    found = step(transitions.settle(running(), settle(TaskState.DEAD), now=NOW))
    assert [event.change for event in found.events] == ["RUNNING→FAILED", "FAILED→DEAD"]
    assert (found.task.failures, found.task.losses, found.task.finished_at) == (1, 0, NOW)


def test_a_loss_is_not_a_failure() -> None:
    found = step(
        transitions.settle(
            running(), settle(TaskState.RETRY, counts=Counts.LOSS, not_before=NOW + 3), now=NOW
        )
    )
    assert [event.change for event in found.events] == ["RUNNING→RETRY"]
    assert (found.task.failures, found.task.losses, found.task.not_before) == (0, 1, NOW + 3)


def test_an_attempt_that_counts_as_nothing_leaves_the_numbers_alone() -> None:
    found = step(
        transitions.settle(running(failures=1), settle(TaskState.RETRY, counts=Counts.NOTHING), now=NOW)
    )
    assert [event.change for event in found.events] == ["RUNNING→FAILED", "FAILED→RETRY"]
    assert (found.task.failures, found.task.losses) == (1, 0)


def test_the_last_loss_is_the_end_and_says_how_many_died() -> None:
    task = running(losses=MAX_LOSSES - 1, stage=Stage.SUBMITTED)
    found = step(transitions.release(task, owner="driver-1@a", loss=True, reason="killed", now=NOW)).task
    assert found.state is TaskState.DEAD
    assert found.error is not None
    assert found.error.kind is TroubleKind.WORKER_LOST
    assert f"{MAX_LOSSES} workers" in found.error.reason
    assert found.error.stage is Stage.SUBMITTED


@pytest.mark.parametrize(
    "state", [TaskState.PENDING, TaskState.RUNNING, TaskState.FAILED, TaskState.CANCELLED]
)
def test_an_attempt_ends_only_as_done_retry_or_dead(state: TaskState) -> None:
    found = refusal(transitions.settle(running(), settle(state), now=NOW), ErrorCode.INVALID)
    assert found.error.field == "state"


def test_done_needs_a_reply_and_failure_an_error() -> None:
    without = refusal(
        transitions.settle(running(), settle(TaskState.DONE, reply=None), now=NOW), ErrorCode.INVALID
    )
    assert without.error.field == "reply"
    without = refusal(
        transitions.settle(running(), settle(TaskState.RETRY, error=None), now=NOW), ErrorCode.INVALID
    )
    assert without.error.field == "error"


def test_a_wrong_token_is_refused_and_audited() -> None:
    for answer, name in (
        (transitions.settle(running(), settle(TaskState.DONE, "old"), now=NOW), "settle"),
        (transitions.renew(running(), token=LeaseToken("old"), seconds=9, now=NOW), "renew"),
        (transitions.stage(running(), token=LeaseToken("old"), to=Stage.TYPED, now=NOW), "stage"),
    ):
        found = refusal(answer, ErrorCode.STALE_LEASE)
        assert found.event is not None
        assert found.event.change == f"stale:{name}"


def test_a_lease_never_gets_shorter_nor_outlives_the_deadline_by_much() -> None:
    task = running(deadline=NOW + 40)
    shorter = step(transitions.renew(task, token=TOKEN, seconds=1, now=NOW)).task
    assert shorter.lease is not None
    assert shorter.lease.until == NOW + 30
    longer = step(transitions.renew(task, token=TOKEN, seconds=3000, now=NOW)).task
    assert longer.lease is not None
    assert longer.lease.until == NOW + 40 + DEADLINE_GRACE


def test_before_it_is_sent_a_prompt_may_be_prepared_again_after_that_never() -> None:
    typed = running(stage=Stage.TYPED)
    assert (
        step(transitions.stage(typed, token=TOKEN, to=Stage.PREPARED, now=NOW)).task.stage is Stage.PREPARED
    )
    sent = running(stage=Stage.SUBMITTED)
    found = refusal(transitions.stage(sent, token=TOKEN, to=Stage.TYPED, now=NOW), ErrorCode.CONFLICT)
    assert found.event is not None
    assert found.event.change == "refused:submitted→typed"


def test_the_same_stage_again_is_no_row_of_history() -> None:
    found = step(transitions.stage(running(stage=Stage.TYPED), token=TOKEN, to=Stage.TYPED, now=NOW))
    assert found.events == ()


def test_a_final_task_is_not_cancelled_but_a_cancelled_one_stays_so() -> None:
    refusal(transitions.cancel(a_task(state=TaskState.DONE), reason="", by="", now=NOW), ErrorCode.CONFLICT)
    cancelled = a_task(state=TaskState.CANCELLED)
    assert step(transitions.cancel(cancelled, reason="", by="", now=NOW)).task is cancelled


def test_a_retry_by_hand_makes_a_waiting_task_due_and_keeps_its_counts() -> None:
    waiting = a_task(state=TaskState.RETRY, failures=2, losses=1, not_before=NOW + 500)
    found = step(transitions.retry(waiting, resend=False, by="me", now=NOW)).task
    assert (found.not_before, found.failures, found.losses, found.deadline) == (0.0, 2, 1, waiting.deadline)


def test_retrying_again_and_again_gives_the_same_time_each_time() -> None:
    task = a_task(timeout=900.0)
    for now in (NOW + 5_000, NOW + 50_000, NOW + 500_000):
        cancelled = step(transitions.cancel(task, reason="", by="", now=now)).task
        task = step(transitions.retry(cancelled, resend=False, by="me", now=now)).task
        assert task.deadline == now + 900.0


def test_a_running_or_done_task_is_not_run_again() -> None:
    for task in (running(), a_task(state=TaskState.DONE), a_task()):
        refusal(transitions.retry(task, resend=False, by="", now=NOW), ErrorCode.CONFLICT)


class TaskLife(RuleBasedStateMachine):
    """Workers, operators and time do what they like with one task, with right and with stale tokens.

    Tries to break P2 (only the holder of the current token changes a running task) and P3 (once a prompt may have
    been sent, no attempt begins as if it had not, unless it is proved or an operator says so).
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.task = a_task()
        self.tokens: list[LeaseToken] = [LeaseToken("never")]
        self.numbers = itertools.count()
        self.may_be_sent = False

    def take(self, answer: Step | Refusal, token: LeaseToken | None = None) -> bool:
        before = self.task
        if isinstance(answer, Refusal):
            return False
        if token is not None:
            assert before.lease is not None, "P2: nobody held it"
            assert before.lease.token == token, "P2: a stale token changed it"
        for event in answer.events:
            old, _, new = event.change.partition("→")
            if new in TaskState.__members__ and old:
                assert may_follow(TaskState(old), TaskState(new)) or (old, new) == ("RETRY", "RETRY")
        if before.state is not answer.task.state:
            assert answer.events, "every change of state is in the history"
        self.task = answer.task
        return True

    @rule(seconds=st.floats(0.1, 40))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=st.floats(1, 60))
    def lease(self, seconds: float) -> None:
        token = LeaseToken(f"token {next(self.numbers)}")
        before = self.task
        answer = transitions.lease(before, token=token, owner="d@1", seconds=seconds, now=self.now)
        if self.take(answer):
            assert before.state in LEASABLE_STATES
            assert self.task.attempt == before.attempt + 1
            self.tokens.append(token)

    @rule(data=st.data(), seconds=st.floats(0, 60))
    def renew(self, data: st.DataObject, seconds: float) -> None:
        token = data.draw(st.sampled_from(self.tokens))
        self.take(transitions.renew(self.task, token=token, seconds=seconds, now=self.now), token)

    @rule(data=st.data(), to=st.sampled_from(Stage))
    def stage(self, data: st.DataObject, to: Stage) -> None:
        token = data.draw(st.sampled_from(self.tokens))
        taken = self.take(transitions.stage(self.task, token=token, to=to, now=self.now), token)
        if taken and to.rank >= Stage.SUBMITTED.rank:
            self.may_be_sent = True

    @rule(
        data=st.data(), state=st.sampled_from(TaskState), counts=st.sampled_from(Counts), proved=st.booleans()
    )
    def settle(self, data: st.DataObject, state: TaskState, counts: Counts, proved: bool) -> None:
        token = data.draw(st.sampled_from(self.tokens))
        command = settle(state, token, counts=counts, stage=Stage.NONE if proved else None)
        if self.take(transitions.settle(self.task, command, now=self.now), token):
            assert self.task.lease is None
            if proved and self.task.stage is Stage.NONE:
                self.may_be_sent = False

    @rule(loss=st.booleans(), owner=st.sampled_from(["d@1", "d@2"]))
    def release(self, loss: bool, owner: str) -> None:
        if self.take(transitions.release(self.task, owner=owner, loss=loss, reason="", now=self.now)):
            assert owner == "d@1"

    @rule()
    def expire(self) -> None:
        self.take(transitions.expire(self.task, now=self.now))

    @rule()
    def cancel(self) -> None:
        self.take(transitions.cancel(self.task, reason="", by="me", now=self.now))

    @rule(resend=st.booleans())
    def retry(self, resend: bool) -> None:
        if self.take(transitions.retry(self.task, resend=resend, by="me", now=self.now)) and resend:
            self.may_be_sent = False

    @invariant()
    def a_lease_is_held_exactly_while_running(self) -> None:
        assert (self.task.lease is not None) == (self.task.state is TaskState.RUNNING)

    @invariant()
    def what_may_be_sent_is_remembered(self) -> None:
        if self.may_be_sent:
            assert self.task.stage.rank >= Stage.SUBMITTED.rank, "P3"

    @invariant()
    def the_end_has_its_time(self) -> None:
        assert (self.task.finished_at is not None) == (self.task.state in FINAL_STATES)
        assert self.task.losses <= MAX_LOSSES


TestTaskLife = TaskLife.TestCase
TestTaskLife.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
