"""`nerv top` over real sockets and in a real terminal: it outlives the broker, and leaves when told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from kernel.messages import (
    ProviderList,
    ProviderPage,
    QueueCounts,
    QueueStats,
    ReplyRead,
    ReplyView,
    TaskCancel,
    TaskChanged,
    TaskList,
    TaskPage,
    TaskView,
)
from kernel.tasks import TaskState
from nerv.actor import Context, handles
from nerv.bus.handlers import collect
from nerv.client import Client
from nerv.messages import ClusterStatus, SupervisorStatus
from nerv.testing import running_bus
from tests.unit.tui.fake_cluster import FakeCluster, busy_cluster
from tui.app import NervTop
from tui.screenshot import screen_text

DEADLINE_SECONDS = 30.0


class Parts:
    """Answers for every actor that the monitor asks, from a cluster in memory."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster

    @handles(SupervisorStatus)
    async def status(self, message: SupervisorStatus, context: Context) -> ClusterStatus:
        answer = self.cluster.answer(message)
        assert isinstance(answer, ClusterStatus)
        return answer

    @handles(TaskList)
    async def tasks(self, message: TaskList, context: Context) -> TaskPage:
        answer = self.cluster.answer(message)
        assert isinstance(answer, TaskPage)
        return answer

    @handles(QueueStats)
    async def counts(self, message: QueueStats, context: Context) -> QueueCounts:
        answer = self.cluster.answer(message)
        assert isinstance(answer, QueueCounts)
        return answer

    @handles(TaskCancel)
    async def cancel(self, message: TaskCancel, context: Context) -> TaskView:
        answer = self.cluster.answer(message)
        assert isinstance(answer, TaskView)
        return answer

    @handles(ProviderList)
    async def providers(self, message: ProviderList, context: Context) -> ProviderPage:
        answer = self.cluster.answer(message)
        assert isinstance(answer, ProviderPage)
        return answer

    @handles(ReplyRead)
    async def reply(self, message: ReplyRead, context: Context) -> ReplyView:
        answer = self.cluster.answer(message)
        assert isinstance(answer, ReplyView)
        return answer


async def shows(app: NervTop, *texts: str) -> None:
    await until(app, lambda: all(text in screen_text(app) for text in texts))


async def until(app: NervTop, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE_SECONDS} s; the screen was:\n{screen_text(app)}"
        await asyncio.sleep(0.05)


async def test_over_real_sockets_it_shows_commands_and_outlives_the_broker() -> None:
    cluster = busy_cluster()
    async with running_bus() as bus:
        peers = [
            await bus.peer(name, handlers=collect(Parts(cluster)))
            for name in ("supervisor", "queue", "kernel", "store")
        ]
        queue = peers[1]
        app = NervTop(lambda: Client(endpoints=bus.endpoints), "real")
        async with app.run_test(size=(120, 40)) as pilot:
            await shows(app, "● live", "8/8 actors", "# Write-ahead logging", "▶ RUNNING")
            running = next(task for task in cluster.tasks.values() if task.state is TaskState.RUNNING)

            # An event reaches the screen without a question.
            retried = msgspec.structs.replace(running, updated_at=time.time(), provider="by-event")
            cluster.tasks[running.id] = retried
            queue.publish(f"task.{running.id}", TaskChanged(task=retried))
            await shows(app, "by-event")

            await bus.stop_broker()
            await until(app, lambda: "✗ lost" in screen_text(app) or "silent for" in screen_text(app))
            assert app.tasks.dimmed
            assert "by-event" in screen_text(app), "the last that was known stays in view"
            cluster.tasks[running.id] = msgspec.structs.replace(
                retried, state=TaskState.DONE, lease=None, updated_at=time.time()
            )
            bus.start_broker()
            await shows(app, "● live", "13 done")
            await until(app, lambda: "▶ RUNNING" not in screen_text(app))

            await pilot.press("slash", *"state:pending", "enter", "c", "tab", "enter")
            await shows(app, "1 cancelled")


@contextlib.contextmanager
def monitor_in_a_terminal(home: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; from tui.app import run; sys.exit(run())"],
        stdin=follower,
        stdout=follower,
        stderr=subprocess.STDOUT,
        env={**os.environ, "NERV_HOME": str(home), "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
        start_new_session=True,
    )
    os.close(follower)
    try:
        yield child, leader
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        with contextlib.suppress(OSError):  # the test may have closed it: that is what it tests
            os.close(leader)


def read_until(leader: int, text: str) -> None:
    seen, end = b"", time.monotonic() + DEADLINE_SECONDS
    while text not in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode(errors="replace")):
        assert time.monotonic() < end, seen[-2000:]
        if select.select([leader], [], [], 0.2)[0]:
            seen += os.read(leader, 65536)


def drain_until_exit(child: subprocess.Popen[bytes], leader: int | None) -> int:
    end = time.monotonic() + DEADLINE_SECONDS
    while child.poll() is None:
        assert time.monotonic() < end, "the monitor did not leave"
        if leader is not None and select.select([leader], [], [], 0.1)[0]:
            try:
                os.read(leader, 65536)
            except OSError:  # EIO: the other side of the terminal is closed
                leader = None
        elif leader is None:
            time.sleep(0.05)
    return child.returncode


def test_q_leaves_while_no_cluster_answers(tmp_path: Path) -> None:
    with monitor_in_a_terminal(tmp_path) as (child, leader):
        read_until(leader, "connecting")
        os.write(leader, b"q")
        assert drain_until_exit(child, leader) == 0


def test_sigterm_leaves_and_gives_the_terminal_back(tmp_path: Path) -> None:
    with monitor_in_a_terminal(tmp_path) as (child, leader):
        read_until(leader, "connecting")
        child.send_signal(signal.SIGTERM)
        assert drain_until_exit(child, leader) == 0


def test_a_terminal_that_hangs_up_ends_the_monitor(tmp_path: Path) -> None:
    with monitor_in_a_terminal(tmp_path) as (child, leader):
        read_until(leader, "connecting")
        os.close(leader)
        drain_until_exit(child, None)


def test_without_a_terminal_it_says_what_to_do_instead(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from tui.app import run; sys.exit(run())"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "NERV_HOME": str(tmp_path)},
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "nerv status" in done.stderr


def test_an_unusable_instance_name_is_one_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    from tui.app import run

    assert run("No Such Name!") == 2
    assert "is no name of an instance" in capsys.readouterr().err


async def test_a_screenshot_without_a_cluster_fails_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.unit.tui.fake_cluster import FakeCluster
    from tui import screenshot

    monkeypatch.setattr(screenshot, "WAIT_SECONDS", 0.5)
    cluster = FakeCluster()
    cluster.up = False
    picture = tmp_path / "top.svg"
    assert await screenshot.take(cluster.connect, "test", picture, (120, 32), settle=0.1) == 3
    assert not picture.exists()


async def test_a_screenshot_shows_the_cluster(tmp_path: Path) -> None:
    from tui.screenshot import take

    picture, text = tmp_path / "top.svg", tmp_path / "top.txt"
    assert await take(busy_cluster().connect, "test", picture, (120, 32), settle=0.5) == 0
    assert "<svg" in picture.read_text()
    assert await take(busy_cluster().connect, "test", text, (80, 24), settle=0.5) == 0
    assert "8/8 actors" in text.read_text()
