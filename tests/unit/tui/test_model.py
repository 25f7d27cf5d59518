"""The model is a fold: what it shows follows from snapshots and events, whatever their order and losses."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kernel.messages import Delta, QueueCounts, ReplyDelta, ReplyView, TaskChanged, TaskPage
from kernel.tasks import TaskId, TaskState
from nerv.errors import ErrorCode, ErrorInfo
from nerv.messages import ActorChanged, ActorState, ClusterStatus, LogLine, Tick
from tests.unit.tui.fake_cluster import lease, make_actor, make_task, summary
from tui.model import HOLD_SECONDS, MAX_LOG_LINES, MAX_TASKS, STALE_SECONDS, ClusterModel, LinkState
from tui.reply_text import MAX_SHOWN_CHARS

GONE = ErrorInfo(code=ErrorCode.DISCONNECTED, reason="gone")


def model_at(now: float) -> ClusterModel:
    model = ClusterModel("test")
    model.link_up()
    actors = (make_actor("bus", started_at=now - 10), make_actor("driver-1", started_at=now - 10))
    model.apply_status(
        ClusterStatus(instance="test", version="1", supervisor_pid=1, started_at=now - 10, actors=actors), now
    )
    return model


def page(*tasks: object) -> TaskPage:
    return TaskPage(tasks=tasks)  # type: ignore[arg-type]


def test_link_tells_connecting_live_stale_and_lost_apart() -> None:
    model = ClusterModel("test")
    assert model.link(100.0) is LinkState.CONNECTING
    assert model.data_age(100.0) is None
    model = model_at(100.0)
    assert model.link(100.0 + STALE_SECONDS - 0.1) is LinkState.LIVE
    assert model.link(100.0 + STALE_SECONDS + 0.1) is LinkState.STALE
    model.link_down(GONE, next_attempt_at=105.0)
    assert model.link(100.5) is LinkState.LOST
    assert model.data_age(104.0) == 4.0
    model.link_up()
    assert model.link(104.0) is LinkState.STALE, "connected again, but nothing heard yet"


def test_a_gap_asks_for_everything_again_except_a_gap_of_ticks() -> None:
    model = model_at(100.0)
    model.apply_tasks(page(), 100.0)
    model.apply_event(Tick(actor="bus", incarnation="i", pid=1, at=101.0), 5, 101.0)
    assert not model.needs_resync
    model.apply_event(TaskChanged(task=make_task(1)), 2, 101.0)
    assert model.needs_resync
    assert model.gaps == 2


def test_an_older_snapshot_does_not_undo_a_newer_event() -> None:
    model = model_at(100.0)
    done = make_task(1, TaskState.DONE, at=100.0, updated_at=105.0)
    model.apply_event(TaskChanged(task=done), 0, 105.0)
    model.apply_tasks(page(make_task(1, TaskState.RUNNING, at=100.0, updated_at=103.0)), 106.0)
    assert model.tasks[done.id].state is TaskState.DONE


def test_a_task_that_the_whole_snapshot_lacks_is_gone_but_a_younger_one_stays() -> None:
    model = model_at(100.0)
    model.apply_tasks(page(make_task(1, at=100.0), make_task(2, at=101.0)), 101.0)
    model.apply_event(TaskChanged(task=make_task(3, at=110.0)), 0, 110.0)
    model.apply_tasks(page(make_task(2, at=101.0)), 110.0)
    assert set(model.tasks) == {"t000002x", "t000003x"}


def test_the_prompt_of_a_snapshot_outlives_the_cut_one_of_an_event() -> None:
    model = model_at(100.0)
    model.apply_tasks(page(make_task(1, prompt="x" * 500)), 100.0)
    model.apply_event(
        TaskChanged(task=make_task(1, TaskState.DONE, updated_at=2000.0, prompt="x" * 200)), 0, 101.0
    )
    assert len(model.tasks[TaskId("t000001x")].prompt) == 500


def test_tasks_are_bounded_and_running_and_selected_ones_stay() -> None:
    model = model_at(100.0)
    running = make_task(0, TaskState.RUNNING, at=1.0, lease=lease())
    selected = make_task(1, TaskState.DONE, at=1.0)
    model.select(selected.id)
    model.apply_tasks(page(running, selected), 100.0)
    for number in range(2, MAX_TASKS + 200):
        model.apply_event(TaskChanged(task=make_task(number, TaskState.DONE, at=float(number))), 0, 100.0)
    assert len(model.tasks) == MAX_TASKS
    assert running.id in model.tasks
    assert selected.id in model.tasks
    assert f"t{2:06d}x" not in model.tasks, "the one that changed longest ago goes first"


def test_the_log_is_bounded_and_counts_all_it_saw() -> None:
    model = model_at(100.0)
    for number in range(MAX_LOG_LINES + 10):
        model.apply_event(LogLine(actor="bus", at=100.0, level="warning", event=str(number)), 0, 100.0)
    assert len(model.logs) == MAX_LOG_LINES
    assert model.logs_seen == MAX_LOG_LINES + 10
    assert model.logs[-1].event == str(MAX_LOG_LINES + 9)


def test_an_actor_that_stops_ticking_is_silent_but_a_dead_one_is_not() -> None:
    model = model_at(100.0)
    model.apply_event(Tick(actor="bus", incarnation="i", pid=1, at=101.0), 0, 101.0)
    assert model.silence("bus", 103.0) is None
    assert model.silence("bus", 108.0) == 7.0
    model.apply_event(ActorChanged(status=make_actor("bus", ActorState.BACKOFF)), 0, 108.0)
    assert model.silence("bus", 120.0) is None
    assert model.actors_up == 1


def test_message_rate_follows_the_counters_of_the_broker_and_a_new_broker_starts_anew() -> None:
    model = model_at(100.0)

    def tick(total: float, at: float) -> None:
        gauges = {"bus_messages_total": total, "bus_events_total": total}
        model.apply_event(Tick(actor="bus", incarnation="i", pid=1, at=at, gauges=gauges), 0, at)

    tick(1000.0, 100.0)
    assert model.message_rate.per_second(100.0) is None
    tick(1500.0, 101.0)
    assert model.message_rate.per_second(101.0) == 1000.0
    tick(10.0, 102.0)
    assert model.message_rate.per_second(102.0) is None
    tick(20.0, 103.0)
    assert model.message_rate.per_second(103.0) == 20.0


def test_a_counter_that_nobody_renews_has_no_rate() -> None:
    model = model_at(100.0)
    model.apply_counts(QueueCounts(states={"DONE": 1}), 100.0)
    model.apply_counts(QueueCounts(states={"DONE": 7}), 106.0)
    assert model.done_rate.per_second(106.0) == 1.0
    assert model.done_rate.per_second(1000.0) is None


def test_the_suggested_task_runs_and_an_ended_one_is_held_for_a_moment() -> None:
    model = model_at(100.0)
    first = make_task(1, TaskState.RUNNING, at=90.0, lease=lease())
    second = make_task(2, TaskState.RUNNING, at=95.0, lease=lease())
    model.apply_tasks(page(second, first), 100.0)
    assert model.suggested_task(100.0) == first.id
    model.select(first.id)
    ended = msgspec.structs.replace(first, state=TaskState.DONE, updated_at=101.0, lease=None)
    model.apply_event(TaskChanged(task=ended), 0, 101.0)
    assert model.suggested_task(101.0 + HOLD_SECONDS - 0.1) == first.id
    assert model.suggested_task(101.0 + HOLD_SECONDS + 0.1) == second.id


def test_running_tasks_stand_first_and_then_the_latest_change() -> None:
    model = model_at(100.0)
    model.apply_tasks(
        page(
            make_task(1, TaskState.DONE, at=1.0, updated_at=50.0),
            make_task(2, TaskState.PENDING, at=60.0),
            make_task(3, TaskState.RUNNING, at=2.0),
        ),
        100.0,
    )
    assert [task.id[-2] for task in model.sorted_tasks()] == ["3", "2", "1"]


def test_a_task_belongs_to_the_life_of_the_driver_that_leased_it() -> None:
    model = model_at(100.0)
    model.apply_tasks(page(make_task(1, TaskState.RUNNING, lease=lease("driver-1@old"))), 100.0)
    assert model.tasks_of("driver-1", "new") == ()
    assert len(model.tasks_of("driver-1", None)) == 1
    assert model.tasks_of("driver-11", None) == ()


# -- the reply -------------------------------------------------------------------------------------------------


def delta(seq: int, offset: int, text: str, *, rewrite: bool = False) -> Delta:
    return Delta(seq=seq, offset=offset, text=text, rewrite=rewrite)


def following(*deltas: Delta) -> ClusterModel:
    model = model_at(100.0)
    model.select(TaskId("t000001x"))
    feed(model, *deltas)
    return model


def feed(model: ClusterModel, *deltas: Delta, attempt: int = 1) -> None:
    model.apply_event(ReplyDelta(task=TaskId("t000001x"), attempt=attempt, deltas=deltas), 0, 100.0)


def text_of(model: ClusterModel) -> str:
    assert model.reply is not None
    return model.reply.text


def test_deltas_append_once_and_a_rewrite_replaces_the_end() -> None:
    model = following(delta(1, 0, "Hello"), delta(2, 5, " wurld"))
    feed(model, delta(2, 5, " wurld"), delta(3, 6, "world", rewrite=True))
    assert text_of(model) == "Hello world"


def test_a_missing_delta_is_asked_for_and_the_text_is_not_guessed() -> None:
    model = following(delta(1, 0, "a"))
    assert model.reply is not None
    model.reply.wants_read = False
    feed(model, delta(3, 2, "c"))
    assert text_of(model) == "a"
    assert model.reply.wants_read
    view = ReplyView(
        task=TaskId("t000001x"), attempt=1, deltas=(delta(2, 1, "b"), delta(3, 2, "c")), length=3
    )
    model.apply_reply(view, 101.0)
    assert text_of(model) == "abc"
    assert not model.reply.wants_read


def test_a_new_attempt_begins_an_empty_text_and_the_old_one_is_not_mixed_in() -> None:
    model = following(delta(1, 0, "old"))
    feed(model, delta(1, 0, "new"), attempt=2)
    feed(model, delta(2, 3, " late"), attempt=1)
    assert text_of(model) == "new"


def test_the_sealed_text_is_final() -> None:
    model = following(delta(1, 0, "almost"))
    view = ReplyView(task=TaskId("t000001x"), attempt=1, length=5, sealed=summary("whole"), text="whole")
    model.apply_reply(view, 101.0)
    feed(model, delta(2, 6, "…"))
    assert text_of(model) == "whole"


def test_the_end_of_the_selected_task_asks_for_its_sealed_reply() -> None:
    model = following(delta(1, 0, "x"))
    assert model.reply is not None
    model.reply.wants_read = False
    model.apply_event(TaskChanged(task=make_task(1, TaskState.DONE)), 0, 100.0)
    assert model.reply.wants_read


def test_a_reply_beyond_the_bound_keeps_its_end_and_says_what_is_hidden() -> None:
    model = following(delta(1, 0, "a" * MAX_SHOWN_CHARS), delta(2, MAX_SHOWN_CHARS, "b" * 10))
    assert model.reply is not None
    assert len(text_of(model)) == MAX_SHOWN_CHARS
    assert model.reply.hidden == 10
    feed(model, delta(3, MAX_SHOWN_CHARS + 5, "c", rewrite=True))
    assert text_of(model).endswith("bbbbbc")
    assert model.reply.length == MAX_SHOWN_CHARS + 6


@given(st.lists(st.text(max_size=8), max_size=20), st.randoms(use_true_random=False))
def test_whatever_events_are_lost_or_doubled_the_reads_make_the_text_whole(
    texts: list[str], random: object
) -> None:
    deltas, offset = [], 0
    for seq, text in enumerate(texts, 1):
        deltas.append(delta(seq, offset, text))
        offset += len(text)
    model = following()
    assert model.reply is not None
    for seq in range(1, len(deltas) + 1):
        chance = random.random()  # type: ignore[attr-defined]
        if chance < 0.6:
            feed(model, *deltas[max(0, seq - 2) : seq])
        elif chance < 0.8:
            known = tuple(deltas[:seq])
            view = ReplyView(
                task=TaskId("t000001x"),
                attempt=1,
                deltas=tuple(d for d in known if d.seq > model.reply.last_seq),
                length=sum(len(d.text) for d in known),
            )
            model.apply_reply(view, 100.0)
        assert "".join(texts).startswith(text_of(model))
    rest = tuple(d for d in deltas if d.seq > model.reply.last_seq)
    model.apply_reply(ReplyView(task=TaskId("t000001x"), attempt=1, deltas=rest, length=offset), 100.0)
    assert text_of(model) == "".join(texts)
