"""The screen does what its keys say, shows what is true, and never hangs on a cluster that is gone."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Button

from kernel.messages import ProviderView, TaskCancel, TaskRetry
from kernel.tasks import Task, TaskId, TaskState
from nerv.bus.vocabulary import Message
from nerv.errors import ErrorCode, ErrorInfo
from nerv.messages import ActorRestart, ActorState, LogLine
from tests.unit.tui.fake_cluster import FakeCluster, busy_cluster, make_actor, make_task, summary
from tui.app import NervTop
from tui.model import LinkState
from tui.screens import Confirm, Details, Help
from tui.screenshot import screen_text

SMALL, LARGE = (80, 24), (120, 40)
DEADLINE_SECONDS = 20.0


@asynccontextmanager
async def watching(
    cluster: FakeCluster, size: tuple[int, int] = SMALL, *, read_only: bool = False
) -> AsyncIterator[tuple[NervTop, Pilot[int]]]:
    app = NervTop(cluster.connect, "test", read_only=read_only)
    async with app.run_test(size=size, notifications=True) as pilot:
        if cluster.up:
            await until(app, lambda: bool(app.model.actors) and not app.model.needs_resync)
        yield app, pilot


async def until(app: NervTop, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE_SECONDS} s; the screen was:\n{screen_text(app)}"
        await asyncio.sleep(0.03)


async def shows(app: NervTop, *texts: str) -> None:
    await until(app, lambda: all(text in screen_text(app) for text in texts))


def sent(cluster: FakeCluster, kind: type[Message]) -> list[Message]:
    return [message for _, message in cluster.asked if isinstance(message, kind)]


def toasts(app: NervTop) -> str:
    return " | ".join(f"{n.title}: {n.message} ({n.severity})" for n in app._notifications)


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_one_look_tells_link_actors_tasks_and_the_reply(size: tuple[int, int]) -> None:
    async with watching(busy_cluster(), size) as (app, _):
        await shows(
            app,
            "● live",
            "8/8 actors",
            "▶ 1 running",
            "✗ 1 dead",
            "● ready",
            "▶ t000022x accepted",
            "▶ RUNNING",
            "○ PENDING",
            "# Write-ahead logging",
            "q Quit",
        )
        lines = screen_text(app).splitlines()
        assert len(lines) == size[1]
        assert all(len(line) <= size[0] for line in lines)


async def test_a_wider_screen_shows_more_columns() -> None:
    async with watching(busy_cluster(), (80, 24)) as (app, _):
        await shows(app, "DOING")
        assert "LAG" not in screen_text(app)
    async with watching(busy_cluster(), (130, 40)) as (app, _):
        await shows(app, "LAG", "DOING")


async def test_the_reply_grows_while_it_streams_and_is_sealed_at_the_end() -> None:
    cluster = busy_cluster()
    async with watching(cluster, LARGE) as (app, _):
        running = cluster.tasks[TaskId("t000022x")]
        await shows(app, "it is *written down*.")
        cluster.stream(running, "Then the log is forced to disk.\n")
        await shows(app, "Then the log is forced to disk.", "▶ live")
        text = cluster.replies[running.id]
        whole = "The whole and final text."
        cluster.replies[running.id] = msgspec.structs.replace(text, sealed=summary(whole), text=whole)
        cluster.put(
            msgspec.structs.replace(running, state=TaskState.DONE, lease=None, updated_at=time.time())
        )
        await shows(app, whole, "✓ sealed")


async def test_a_lost_delta_is_read_from_the_store() -> None:
    cluster = busy_cluster()
    async with watching(cluster, LARGE) as (app, _):
        running = cluster.tasks[TaskId("t000022x")]
        await shows(app, "written down")
        clients, cluster.clients = cluster.clients, []
        cluster.stream(running, "LOST ON THE WAY ")
        cluster.clients = clients
        cluster.stream(running, "arrived")
        await shows(app, "LOST ON THE WAY arrived")


async def test_a_reader_who_scrolled_up_is_left_alone_and_the_end_is_followed_again() -> None:
    cluster = busy_cluster()
    async with watching(cluster) as (app, pilot):
        running = cluster.tasks[TaskId("t000022x")]
        cluster.stream(running, *(f"line {number}\n" for number in range(60)))
        await shows(app, "line 59")
        await pilot.press("v", "g")
        await shows(app, "# Write-ahead logging", "G follows")
        cluster.stream(running, "line 60\n")
        await until(app, lambda: "line 60" in (app.model.reply.text if app.model.reply else ""))
        app.draw(force=True)
        await pilot.pause()
        assert "# Write-ahead logging" in screen_text(app)
        await pilot.press("G")
        await shows(app, "line 60")
        cluster.stream(running, "line 61\n")
        await shows(app, "line 61")


async def test_the_cursor_follows_running_tasks_until_the_user_moves_it() -> None:
    cluster = busy_cluster()
    async with watching(cluster) as (app, pilot):
        await until(app, lambda: app.selected_task == "t000022x")
        await pilot.press("j")
        assert app.selected_task == "t000020x"
        cluster.put(make_task(30, TaskState.RUNNING, at=time.time() - 100, attempt=1))
        await until(app, lambda: TaskId("t000030x") in app.model.tasks)
        app.draw(force=True)
        assert app.selected_task == "t000020x", "the rows moved; the cursor stays on its task"
        await pilot.press("a")
        assert app.selected_task == "t000030x"


async def test_a_drawing_between_the_key_and_its_message_does_not_take_the_cursor_back() -> None:
    async with watching(busy_cluster()) as (app, _):
        await until(app, lambda: app.selected_task == "t000022x")
        app.tasks.move(1)  # its message is read only in the next turn of the loop
        app.draw(force=True)
        assert app.selected_task == "t000020x"


async def test_connecting_is_shown_and_quitting_works_without_a_cluster() -> None:
    cluster = FakeCluster()
    cluster.up = False
    async with watching(cluster) as (app, pilot):
        await shows(app, "connecting…", "no cluster answers for instance 'test'")
        await until(app, lambda: re.search(r"try ([2-9]|\d\d)", screen_text(app)) is not None)
        await pilot.press("q")
        await until(app, lambda: app.return_value == 0)


async def test_a_cluster_that_goes_away_and_comes_back_is_shown_as_it_is_then() -> None:
    cluster = busy_cluster()
    async with watching(cluster) as (app, _):
        await shows(app, "● live", "▶ RUNNING")
        cluster.up = False
        await shows(app, "✗ lost", "▶ RUNNING")
        assert app.tasks.dimmed, "what is shown is old"
        cluster.tasks[TaskId("t000040x")] = make_task(40, at=time.time(), prompt="While you were away")
        cluster.up = True
        await shows(app, "● live", "While you were away")
        assert not app.tasks.dimmed


async def test_a_part_that_does_not_answer_is_named_and_the_rest_goes_on() -> None:
    cluster = busy_cluster()
    cluster.refusals["queue"] = ErrorInfo(code=ErrorCode.UNDELIVERABLE, reason="nobody is called queue")
    app = NervTop(cluster.connect, "test")
    async with app.run_test(size=SMALL):
        await shows(app, "! queue: undeliverable", "8/8 actors")


async def test_actors_in_trouble_say_what_and_when() -> None:
    cluster = busy_cluster()
    async with watching(cluster) as (app, _):
        cluster.changed(
            make_actor(
                "driver-2",
                ActorState.BACKOFF,
                last_exit="signal 9 (SIGKILL)",
                next_start_at=time.time() + 60,
                restarts=3,
                pid=None,
            )
        )
        cluster.changed(make_actor("gateway", ActorState.REFUSED, last_exit="exit 78"))
        await shows(app, "↻ backoff", "again in", "✗ refused", "exit 78", "6/8 actors")


async def test_the_filter_narrows_the_tasks_and_escape_gives_them_back() -> None:
    async with watching(busy_cluster(), LARGE) as (app, pilot):
        await shows(app, "Tasks 15")
        await pilot.press("slash", *"state:dead")
        await shows(app, "Tasks 1 of 15 · /state:dead", "✗ DEAD")
        assert "▶ RUNNING" not in screen_text(app)
        await pilot.press("enter")
        assert app.focused is app.tasks
        await pilot.press("escape")
        await shows(app, "▶ RUNNING")
        await pilot.press("slash", *"nonsense")
        await shows(app, "no task fits /nonsense")
        await pilot.press("q")
        assert app.return_value is None, "a q in the filter is a letter"


async def test_details_show_all_fields_and_the_history() -> None:
    cluster = busy_cluster()
    from kernel.tasks import TaskEvent

    running = TaskId("t000022x")
    cluster.history[running] = (
        TaskEvent(task_id=running, at=1.0, attempt=1, change="PENDING→RUNNING", by="queue"),
        TaskEvent(task_id=running, at=2.0, attempt=1, change="submitted→accepted", by="driver-1"),
    )
    async with watching(cluster, LARGE) as (app, pilot):
        await until(app, lambda: app.selected_task == running)
        await pilot.press("enter")
        await until(app, lambda: isinstance(app.screen, Details))
        await shows(
            app, "Task t000022x", "playground / default", "submitted→accepted", "driver-1@i", "Explain"
        )
        await pilot.press("escape")
        assert not isinstance(app.screen, Details)


async def test_retry_is_a_command_and_its_outcome_is_shown() -> None:
    cluster = busy_cluster()
    async with watching(cluster) as (app, pilot):
        await pilot.press("slash", *"state:dead", "enter", "r")
        await until(app, lambda: bool(sent(cluster, TaskRetry)))
        assert sent(cluster, TaskRetry) == [TaskRetry(id=TaskId("t000021x"))]
        await until(app, lambda: "the task is now RETRY (information)" in toasts(app))


async def test_a_refused_command_shows_code_reason_and_fix() -> None:
    cluster = busy_cluster()
    async with watching(cluster) as (app, pilot):
        await until(app, lambda: app.selected_task is not None)
        cluster.refusals["queue"] = ErrorInfo(
            code=ErrorCode.CONFLICT, reason="the task is running", fix="Cancel it first"
        )
        await pilot.press("r")
        await until(app, lambda: "conflict: the task is running. Cancel it first (error)" in toasts(app))


async def test_a_command_without_a_connection_says_so() -> None:
    cluster = busy_cluster()
    async with watching(cluster) as (app, pilot):
        cluster.up = False
        await shows(app, "✗ lost")
        await pilot.press("r")
        await until(app, lambda: "disconnected: " in toasts(app))


async def test_cancelling_asks_first_and_the_safe_answer_has_the_focus() -> None:
    cluster = busy_cluster()
    async with watching(cluster) as (app, pilot):
        await until(app, lambda: app.selected_task == "t000022x")
        await pilot.press("c")
        await until(app, lambda: isinstance(app.screen, Confirm))
        await until(app, lambda: isinstance(app.focused, Button) and app.focused.id == "refuse")
        await pilot.press("enter")
        await until(app, lambda: not isinstance(app.screen, Confirm))
        assert sent(cluster, TaskCancel) == []
        await pilot.press("c", "tab", "enter")
        await until(app, lambda: bool(sent(cluster, TaskCancel)))
        await until(app, lambda: "now CANCELLED" in toasts(app))


async def test_restarting_an_actor_names_it_and_asks_first() -> None:
    cluster = busy_cluster()
    async with watching(cluster) as (app, pilot):
        await until(app, lambda: app.actors.line_count == 8 and app.selected_task is not None)
        app.actors.focus()
        await pilot.press("j", "j", "j", "j", "R")
        await shows(app, "Restart actor driver-1?", "1 running task will go on")
        await pilot.press("escape")
        assert sent(cluster, ActorRestart) == []
        await pilot.press("R", "right", "enter")
        await until(app, lambda: bool(sent(cluster, ActorRestart)))
        (command,) = sent(cluster, ActorRestart)
        assert isinstance(command, ActorRestart)
        assert command.name == "driver-1"
        assert command.reason


async def test_read_only_sends_nothing_and_does_not_offer_it() -> None:
    cluster = busy_cluster()
    async with watching(cluster, read_only=True) as (app, pilot):
        await shows(app, "read-only")
        assert "r Retry" not in screen_text(app)
        await pilot.press("r", "c", "R")
        await pilot.pause()
        assert not isinstance(app.screen, Confirm)
        changing = (TaskRetry, TaskCancel, ActorRestart)
        assert not [message for _, message in cluster.asked if isinstance(message, changing)]


async def test_logs_and_breakers_have_a_view() -> None:
    cluster = busy_cluster()
    cluster.providers = (
        ProviderView(name="claude", address="https://c", origin="shipped", tried_live=False, breaker="open"),
    )
    async with watching(cluster, LARGE) as (app, pilot):
        line = LogLine(
            actor="driver-1", at=time.time(), level="error", event="page \x1b[2Jcrashed", detail="tab 2"
        )
        cluster.publish("log.driver-1", line)
        await pilot.press("l")
        await shows(app, "✗ driver-1 page ·[2Jcrashed tab 2")
        await pilot.press("b")
        await shows(app, "✗ open", "claude", "1 open")


async def test_help_lists_every_key_and_zoom_gives_the_screen_to_one_panel() -> None:
    async with watching(busy_cluster()) as (app, pilot):
        await pilot.press("question_mark")
        await shows(app, "restart the actor under the cursor")
        assert isinstance(app.screen, Help)
        await pilot.press("escape", "v", "z")
        await until(app, lambda: "DOING" not in screen_text(app) and "PROMPT" not in screen_text(app))
        await shows(app, "Reply t000022x")
        await pilot.press("z")
        await shows(app, "DOING", "PROMPT")


async def test_a_flood_of_changes_is_drawn_together() -> None:
    cluster = busy_cluster()
    async with watching(cluster) as (app, pilot):
        drawn = 0
        real = app.tasks.show

        def counting(rows: Sequence[Task]) -> None:
            nonlocal drawn
            drawn += 1
            real(rows)

        app.tasks.show = counting  # type: ignore[method-assign]  # to count its calls
        for number in range(1000, 4000):
            cluster.put(make_task(number, at=time.time()))
        await until(app, lambda: TaskId("t003999x") in app.model.tasks)
        await pilot.pause(0.4)
        assert drawn <= 20
        assert app.model.link(time.time()) is LinkState.LIVE


async def test_without_colours_every_state_still_has_a_symbol_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tui.looks import ACTOR_LOOKS, LINK_LOOKS, TASK_LOOKS

    assert len({symbol for symbol, _ in TASK_LOOKS.values()}) == len(TaskState)
    assert len({symbol for symbol, _ in ACTOR_LOOKS.values()}) == len(ActorState)
    assert set(LINK_LOOKS) == set(LinkState)
    monkeypatch.setenv("NO_COLOR", "1")
    async with watching(busy_cluster()) as (app, _):
        await shows(app, "▶ RUNNING", "✗ DEAD", "● ready")
