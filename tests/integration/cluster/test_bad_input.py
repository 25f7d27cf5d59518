"""Bad input at each edge: one clear error with its fix, nothing lost, nothing half changed (promise P9)."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
import zmq.asyncio

from drivers.playground import Pace, launch, reply_for
from kernel.messages import QUEUE, QueueStats
from nerv.bus.bundle import decode
from nerv.bus.envelope import Kind
from tests.cluster import Cluster, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

SHIPPED = (Path(__file__).parents[3] / "supervisor.toml").read_text()


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    home = Path(tempfile.mkdtemp(prefix="nv-"))
    up = Cluster(home=home)
    asyncio.run(up.check("up", "-d"))
    try:
        yield up
    finally:
        asyncio.run(up.check("down"))
        shutil.rmtree(home)


async def _tasks(running: Cluster) -> int:
    async with running.client() as client:
        counts = await client.request(QUEUE, QueueStats())
    return sum(counts.states.values())


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("ask", "nobody", "hello"), 2, ("unknown_provider", "nobody", "nerv provider add")),
        (("ask", "chatgpt", ""), 2, ("prompt",)),
        (("ask", "chatgpt", "   "), 2, ("prompt",)),
        (("ask", "chatgpt", "x", "--timeout", "-1"), 2, ("--timeout",)),
        (("send", "task.sumbit", "{}"), 2, ("unknown_type", "task.sumbit", "nerv messages")),
        (("send", "task.submit", "{"), 2, ("bad_payload",)),
        (("send", "task.submit", '{"provider": 7, "prompt": "x"}'), 2, ("bad_payload", "provider")),
        (("send", "task.submit", '{"provider": "x", "prompt": "x", "colour": 1}'), 2, ("colour",)),
        (("send", "task.accepted", "{}"), 2, ("is no command",)),
        (("send", "attempt.run", "{}"), 2, ("--target",)),
        (("task", "show", "zzzzzzzz"), 2, ("not_found", "zzzzzzzz")),
        (("task", "ls", "--limit", "0"), 2, ("--limit",)),
        (("provider", "add", "not a url"), 2, ("url",)),
        (("provider", "add", "http://127.0.0.1:9/", "--name", "UPPER CASE"), 2, ("name",)),
        (("provider", "remove", "chatgpt"), 2, ("comes with NERV",)),
        (("actor", "restart", "nobody"), 2, ("nobody",)),
    ],
)
async def test_a_wrong_command_is_told_what_is_wrong(
    running: Cluster, words: tuple[str, ...], code: int, told: tuple[str, ...]
) -> None:
    before = await _tasks(running)
    ended = await running.nerv(*words)
    assert ended.code == code, (ended.code, ended.err)
    assert ended.out == ""
    for part in told:
        assert part in ended.err
    assert "Traceback" not in ended.err
    assert await _tasks(running) == before


async def test_a_page_that_is_not_there_is_told_with_its_address(running: Cluster) -> None:
    ended = await running.nerv("provider", "add", "http://127.0.0.1:9/", "--name", "gone")
    assert ended.code == 1
    assert "unreachable" in ended.err
    assert "gone" not in (await running.check("provider", "ls"))


async def test_a_page_without_a_chat_is_told_what_was_looked_for(running: Cluster) -> None:
    async with launch() as playground:
        ended = await running.nerv("provider", "add", playground.url + "api/stats", "--name", "nochat")
    assert ended.code == 1
    assert "input" in ended.err
    assert "nochat" not in (await running.check("provider", "ls"))


async def test_a_page_that_never_answers_ends_the_task_at_its_deadline(running: Cluster) -> None:
    async with launch(pace=Pace(chunks=4, seconds=0.2, pause=600.0)) as playground:
        await running.check("provider", "add", playground.url, "--name", "silent")
        ended = await running.nerv("ask", "silent", "pause for ever", "--timeout", "6")
        assert ended.code == 1, ended
        assert "deadline" in ended.err
        assert ended.out == ""
        assert await running.check("ask", "silent", "short and well") != ""
        assert set((await playground.stats()).received.values()) == {1}


async def test_a_reply_that_stops_half_way_is_printed_and_marked_as_cut_off(running: Cluster) -> None:
    async with launch(pace=Pace(chunks=4, seconds=0.2)) as playground:
        await running.check("provider", "add", playground.url, "--name", "stalls")
        ended = await running.nerv("ask", "stalls", "stall now", "--timeout", "6")
        assert ended.code == 1, ended
        assert "cut off" in ended.err
        assert reply_for("stall now").startswith(ended.out.rstrip("\n"))


async def test_bytes_of_a_stranger_are_answered_and_harm_nobody(running: Cluster) -> None:
    """Who has not greeted is asked to greet; what does not decode is told so. (More in tests/integration/bus.)"""
    context = zmq.asyncio.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.IDENTITY, b"stranger@1")
    try:
        socket.connect(f"ipc://{running.instance.command_socket}")
        await socket.send_multipart([b"queue", b"\xc1 this is no bundle"])
        await socket.send_multipart([b"only one frame"])
        await socket.send_multipart([b"", b"\x00" * 1000])
        async with asyncio.timeout(5):
            _, answer = await socket.recv_multipart()
        assert decode(answer)[0].kind in (Kind.HELLO, Kind.ERROR)
    finally:
        socket.close()
        context.term()
    assert await _tasks(running) >= 0


async def test_a_second_up_of_the_same_instance_is_refused(running: Cluster) -> None:
    status = await running.status()
    for words in (("up", "-d"), ("up",)):
        ended = await running.nerv(*words)
        assert ended.code != 0
        assert str(status.supervisor_pid) in ended.err
    assert (await running.status()).supervisor_pid == status.supervisor_pid


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[supervisor\n", ("line 1",)),
        (
            "[actor.bus]\ngroup = 'bus'\nrun = 'nerv.bus.server:BusActor'\nmemroy_mb = 5\n",
            ("line 4", "memroy_mb"),
        ),
        ("[actor.bus]\ngroup = 'nowhere'\nrun = 'nerv.bus.server:BusActor'\n", ("line 2", "nowhere")),
        ("[actor.bus]\ngroup = 3\n", ("line 2", "group")),
    ],
)
async def test_a_wrong_supervisor_toml_is_refused_with_line_and_key(
    nerv_home: Path, text: str, told: tuple[str, ...]
) -> None:
    config = nerv_home / "wrong.toml"
    config.write_text(text)
    fresh = Cluster(home=nerv_home)
    for words in (("up", "--config", str(config)), ("up", "-d", "--config", str(config))):
        ended = await fresh.nerv(*words)
        assert ended.code == 2, ended
        for part in told:
            assert part in ended.err
    assert not fresh.files_left()


async def test_an_unreadable_supervisor_toml_is_refused(nerv_home: Path) -> None:
    ended = await Cluster(home=nerv_home).nerv("up", "-d", "--config", str(nerv_home / "absent.toml"))
    assert ended.code == 2
    assert "absent.toml" in ended.err


async def test_a_reload_of_a_wrong_file_changes_nothing(nerv_home: Path) -> None:
    config = nerv_home / "supervisor.toml"
    config.write_text(SHIPPED.replace("count = 2", "count = 1"))
    fresh = Cluster(home=nerv_home)
    await fresh.check("up", "-d", "--config", str(config))
    try:
        before = await fresh.status()
        config.write_text(config.read_text().replace("count = 1", "count = -1"))
        ended = await fresh.nerv("reload")
        assert ended.code == 2
        assert "count" in ended.err
        assert [actor.pid for actor in (await fresh.status()).actors] == [
            actor.pid for actor in before.actors
        ]
    finally:
        await fresh.check("down")


async def test_no_browser_is_told_with_the_fix(nerv_home: Path) -> None:
    config = nerv_home / "supervisor.toml"
    config.write_text(SHIPPED + '\n[actor.driver.settings]\nbrowser = "/nowhere/chromium"\n')
    fresh = Cluster(home=nerv_home)
    ended = await fresh.nerv("up", "-d", "--config", str(config))
    assert ended.code == 2
    assert "/nowhere/chromium" in ended.err
    assert not fresh.files_left()


async def test_commands_without_a_cluster_say_so(nerv_home: Path) -> None:
    fresh = Cluster(home=nerv_home)
    for words in (("status",), ("ask", "chatgpt", "x"), ("task", "ls")):
        ended = await fresh.nerv(*words)
        assert ended.code == 3
        assert "nerv up" in ended.err


async def test_ctrl_c_of_ask_leaves_the_task_running(running: Cluster) -> None:
    async with launch(pace=Pace(chunks=20, seconds=3.0)) as playground:
        await running.check("provider", "add", playground.url, "--name", "slow", "--replace")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "nerv",
            "ask",
            "slow",
            "watch me",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "NERV_HOME": str(running.home)},
        )
        assert process.stderr is not None
        async with asyncio.timeout(30):
            line = (await process.stderr.readline()).decode()
        task = line.split()[1]
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(10):
            _, err = await process.communicate()
        assert process.returncode == 130
        assert f"nerv task show {task}" in err.decode()

        async def done() -> bool:
            return "DONE" in await running.check("task", "show", task)

        await until("the task ends DONE", done, seconds=30)
