"""Supervised processes: the bus, an actor, a stopped peer, and the end of a parent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from nerv.bus.messages import BusStatus
from nerv.child import EXIT_FENCED
from nerv.client import Client
from nerv.errors import EXIT_CONFIGURATION, Disconnected, Undeliverable
from nerv.instance import Instance
from nerv.messages import ActorRestart, LogLine, Ok, SupervisorReload, SupervisorStop, Tick
from tests.cluster import Cluster

ACTORS = "tests.integration.bus.actors_under_test"
REPOSITORY = Path(__file__).parents[3]


@dataclass
class Child:
    process: subprocess.Popen[bytes]
    status: int
    parent: int

    def said(self, line: bytes, timeout: float = 10.0) -> None:
        """Wait until the child reports this line."""
        os.set_blocking(self.status, False)
        heard = b""
        deadline = time.monotonic() + timeout
        while line not in heard:
            assert time.monotonic() < deadline, f"{line!r} not heard, only {heard!r}"
            with contextlib.suppress(BlockingIOError):
                chunk = os.read(self.status, 100)
                assert chunk, f"the child ended with {self.process.wait(5)} and said only {heard!r}"
                heard += chunk
                continue
            time.sleep(0.01)

    def orphan(self) -> None:
        """What the child sees when its supervisor dies."""
        if self.parent >= 0:
            os.close(self.parent)
            self.parent = -1

    def kill_group(self) -> None:
        """Kill it and what it started, and wait until all are gone."""
        group = [process for process in psutil.process_iter() if _group_of(process) == self.process.pid]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        psutil.wait_procs(group, timeout=10)

    def close(self) -> None:
        self.orphan()
        self.kill_group()
        os.close(self.status)


def _group_of(process: psutil.Process) -> int:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return -1


class Nursery:
    """Starts children as the supervisor does, and ends them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.instance = Instance.locate("t", {"NERV_HOME": str(home)})
        self.instance.create()
        self._children: list[Child] = []

    def start(self, name: str, run: str, *, incarnation: str = "", settings: str = "{}") -> Child:
        parent_read, parent_write = os.pipe()
        status_read, status_write = os.pipe()
        environ = {
            **os.environ,
            "NERV_HOME": str(self.home),
            "NERV_INSTANCE": "t",
            "NERV_ACTOR": name,
            "NERV_INCARNATION": incarnation or os.urandom(6).hex(),
            "NERV_STATUS_FD": str(status_write),
            "NERV_PARENT_FD": str(parent_read),
            "NERV_SETTINGS": settings,
            "PYTHONPATH": str(REPOSITORY),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "nerv.child", run],
            env=environ,
            pass_fds=(parent_read, status_write),
            start_new_session=True,
            stderr=subprocess.PIPE,
        )
        os.close(parent_read)
        os.close(status_write)
        child = Child(process, status_read, parent_write)
        self._children.append(child)
        return child

    def bus(self, settings: str = "{}") -> Child:
        child = self.start("bus", "nerv.bus.server:BusActor", settings=settings)
        child.said(b"ready\n")
        return child

    def actor(self, class_name: str, name: str = "worker", **options: str) -> Child:
        return self.start(name, f"{ACTORS}:{class_name}", **options)

    def client(self) -> Client:
        return Client(self.instance, connect_timeout=5.0)

    def close(self) -> None:
        for child in self._children:
            child.close()
            if child.process.stderr is not None:
                child.process.stderr.close()


@pytest.fixture
def nursery(nerv_home: Path) -> Iterator[Nursery]:
    made = Nursery(nerv_home)
    yield made
    made.close()


async def test_an_actor_says_ready_answers_ticks_logs_and_stops_cleanly(nursery: Nursery) -> None:
    bus = nursery.bus()
    worker = nursery.actor("Worker")
    worker.said(b"ready\n")
    async with nursery.client() as client, client.subscribe("tick.worker", "log.worker") as events:
        assert await client.request("worker", ActorRestart(name="x"), correlation="c-7") == Ok()
        line, tick = None, None
        async with asyncio.timeout(10):
            while line is None or tick is None:
                message = (await anext(events)).message
                if isinstance(message, LogLine):
                    line = message
                elif (
                    isinstance(message, Tick) and message.gauges["answered_total"]
                ):  # one may come before the answer
                    tick = message
    assert (line.level, line.event, line.correlation) == ("warning", "asked to restart", "c-7")
    assert (tick.pid, tick.gauges["answered_total"]) == (worker.process.pid, 1.0)
    worker.process.send_signal(signal.SIGTERM)
    worker.said(b"stopping\n")
    assert worker.process.wait(5) == 0
    logged = [
        msgspec.json.decode(text)
        for text in (nursery.instance.logs / "worker.jsonl").read_text().splitlines()
    ]
    assert [(entry["event"], entry.get("correlation")) for entry in logged] == [
        ("ready", None),
        ("asked to restart", "c-7"),
        ("stopped", None),
    ]
    bus.process.send_signal(signal.SIGTERM)
    assert bus.process.wait(5) == 0
    assert not nursery.instance.command_socket.exists()


async def test_kill_9_of_the_bus_loses_no_request(nursery: Nursery) -> None:
    bus = nursery.bus()
    nursery.actor("Worker").said(b"ready\n")
    async with nursery.client() as client:
        for _ in range(3):
            slow = asyncio.create_task(client.request("worker", SupervisorStop()))
            await asyncio.sleep(0.05)
            bus.process.kill()
            bus.process.wait()
            waiting = asyncio.create_task(client.request("worker", ActorRestart(name="x")))
            bus = await asyncio.to_thread(nursery.bus)
            async with asyncio.timeout(10.0):
                assert [await slow, await waiting] == [Ok(), Ok()]


async def test_kill_9_of_a_receiver_gives_its_accepted_command_to_its_next_life(nursery: Nursery) -> None:
    nursery.bus()
    worker = nursery.actor("Worker")
    worker.said(b"ready\n")
    async with nursery.client() as client:
        slow = asyncio.create_task(client.request("worker", SupervisorStop()))
        await asyncio.sleep(0.15)
        worker.process.kill()
        await asyncio.to_thread(nursery.actor("Worker").said, b"ready\n")
        async with asyncio.timeout(10.0):
            assert await slow == Ok()


@pytest.mark.parametrize("class_name", ["Worker", "Hanging"])
def test_a_child_and_what_it_started_die_with_the_supervisor_even_if_its_loop_hangs(
    nursery: Nursery, class_name: str
) -> None:
    nursery.bus()
    worker = nursery.actor(class_name)
    worker.said(b"ready\n")
    grandchildren = psutil.Process(worker.process.pid).children()
    assert len(grandchildren) == 1
    worker.orphan()
    assert worker.process.wait(2) == -signal.SIGKILL
    assert psutil.wait_procs(grandchildren, timeout=2)[1] == []


def test_abort_dumps_every_thread_to_stderr(nursery: Nursery) -> None:
    nursery.bus()
    worker = nursery.actor("Hanging")
    worker.said(b"ready\n")
    worker.process.send_signal(signal.SIGABRT)
    assert worker.process.wait(5) == -signal.SIGABRT
    worker.kill_group()  # its own child holds stderr open too
    assert worker.process.stderr is not None
    dump = worker.process.stderr.read()
    assert dump.count(b"Thread 0x") + dump.count(b"Current thread") >= 2
    assert b"_watch_parent" in dump


def test_a_wrong_configuration_has_its_own_exit_status_and_says_which_field(nursery: Nursery) -> None:
    nursery.bus()
    worker = nursery.actor("Misconfigured")
    assert worker.process.wait(10) == EXIT_CONFIGURATION
    assert worker.process.stderr is not None
    assert b"settings.pages" in worker.process.stderr.read()


def test_wrong_limits_of_the_bus_are_named(nursery: Nursery) -> None:
    bus = nursery.start("bus", "nerv.bus.server:BusActor", settings='{"limits": {"queue_envelopes": 0}}')
    assert bus.process.wait(10) == EXIT_CONFIGURATION
    assert bus.process.stderr is not None
    assert b"limits.queue_envelopes" in bus.process.stderr.read()


def test_background_work_that_fails_ends_the_actor_with_status_1(nursery: Nursery) -> None:
    nursery.bus()
    worker = nursery.actor("Failing")
    assert worker.process.wait(10) == 1
    assert "on purpose" in (nursery.instance.logs / "worker.jsonl").read_text()


def test_an_actor_whose_name_is_taken_over_ends_by_itself(nursery: Nursery) -> None:
    nursery.bus()
    older = nursery.actor("Worker")
    older.said(b"ready\n")
    nursery.actor("Worker").said(b"ready\n")
    assert older.process.wait(5) == EXIT_FENCED


async def test_a_second_bus_of_the_same_instance_is_refused_and_takes_nothing_from_the_first(
    nursery: Nursery,
) -> None:
    nursery.bus()
    nursery.actor("Worker").said(b"ready\n")
    second = nursery.start("bus", "nerv.bus.server:BusActor")
    assert await asyncio.to_thread(second.process.wait, 10) == EXIT_CONFIGURATION
    async with nursery.client() as client:
        assert await client.request("worker", ActorRestart(name="x")) == Ok()


def test_nobody_else_may_open_the_directory_of_the_sockets(nursery: Nursery) -> None:
    nursery.instance.runtime.chmod(0o755)
    nursery.bus()
    assert stat.S_IMODE(nursery.instance.runtime.stat().st_mode) == 0o700


async def test_who_leaves_while_the_bus_stands_still_does_not_wait_for_it(nursery: Nursery) -> None:
    bus = nursery.bus()
    client = nursery.client()
    async with client:
        bus.process.send_signal(signal.SIGSTOP)
        waiting = [asyncio.create_task(client.request("bus", BusStatus(), timeout=60.0)) for _ in range(100)]
        for number in range(20_000):
            client.publish("tick.x", Tick(actor="x", incarnation="i", pid=1, at=float(number)))
        await asyncio.sleep(0)
        left = time.monotonic()
    assert time.monotonic() - left < 5.0
    bus.process.send_signal(signal.SIGCONT)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Disconnected}


async def test_a_stopped_peer_slows_nobody_else_and_the_brokers_memory_stays_flat(nursery: Nursery) -> None:
    bus = nursery.bus('{"limits": {"queue_envelopes": 500}}')
    worker, other = nursery.actor("Worker"), nursery.actor("Worker", "other")
    worker.said(b"ready\n")
    other.said(b"ready\n")
    memory = psutil.Process(bus.process.pid).memory_info
    async with nursery.client() as client:
        await client.request("worker", ActorRestart(name="x"))
        worker.process.send_signal(signal.SIGSTOP)
        stuck = [
            asyncio.create_task(client.request("worker", ActorRestart(name="y" * 1000), timeout=4.0))
            for _ in range(3000)
        ]
        await asyncio.sleep(0.5)
        before = memory().rss
        async with asyncio.timeout(10.0):
            for _ in range(20):
                await asyncio.gather(
                    *(client.request("other", ActorRestart(name="z" * 1000)) for _ in range(100))
                )
        view = await client.request("bus", BusStatus())
        assert view.totals["waiting"] <= 500
        assert memory().rss - before < 16 * 1024 * 1024
        results = await asyncio.gather(*stuck, return_exceptions=True)
        assert {type(result).__name__ for result in results} <= {"Busy", "DeadlineExceeded"}
        worker.process.send_signal(signal.SIGCONT)
        assert await client.request("worker", ActorRestart(name="again"), timeout=10.0) == Ok()


FLOOD, BATCH = 20_000, 500


async def test_a_stopped_subscriber_loses_its_own_events_only_and_knows_how_many(nursery: Nursery) -> None:
    bus, stopped = nursery.bus(), nursery.actor("Watcher", "stopped")
    stopped.said(b"ready\n")
    memory = psutil.Process(bus.process.pid).memory_info
    line = LogLine(actor="flood", at=0.0, level="error", event="flood", detail="z" * 1000)
    async with nursery.client() as client, client.subscribe("log.flood", capacity=BATCH) as quick:
        stopped.process.send_signal(signal.SIGSTOP)
        before = 0
        for number in range(0, FLOOD, BATCH):
            if number == FLOOD // 2:  # by now all that is kept for it is full
                before = memory().rss
            for _ in range(BATCH):
                client.publish("log.flood", line)
            async with asyncio.timeout(10.0):
                gaps = [(await anext(quick)).gap for _ in range(BATCH)]
            assert sum(gaps) == 0
        assert memory().rss - before < 6 * 1024 * 1024
        async with client.subscribe("tick.stopped") as ticks:
            stopped.process.send_signal(signal.SIGCONT)
            sent, received, missed = FLOOD, 0.0, 0.0
            async with asyncio.timeout(20.0):
                while not missed or received + missed < sent:
                    client.publish("log.flood", line)  # only what comes after a gap shows it
                    sent += 1
                    tick = (await anext(ticks)).message
                    assert isinstance(tick, Tick)
                    received, missed = tick.gauges["received_total"], tick.gauges["missed_total"]
        assert received + missed <= sent
        assert received >= 1000


async def test_dead_letters_are_read_sent_again_and_dropped_from_the_shell(nursery: Nursery) -> None:
    nursery.bus('{"limits": {"hold_unknown": 0.2}}')
    shell = Cluster(home=nursery.home, environ={"NERV_INSTANCE": nursery.instance.name})
    async with nursery.client() as client, client.subscribe("tick.late") as ticks:
        for number in range(3):
            with pytest.raises(Undeliverable):
                await client.request("late", ActorRestart(name=f"n{number}"))
        letters = [
            msgspec.json.decode(text)
            for text in (await shell.check("deadletter", "ls", "--json")).splitlines()
        ]
        assert [(one["number"], one["target"], one["reason"]) for one in letters] == [
            (number, "late", "undeliverable") for number in (1, 2, 3)
        ]
        shown = msgspec.json.decode(await shell.check("deadletter", "show", "2", "--json"))
        assert msgspec.json.decode(shown["payload"]) == {"name": "n1"}
        late = nursery.actor("Worker", "late")
        await asyncio.to_thread(late.said, b"ready\n")
        await shell.check("deadletter", "resend", "2")
        async with asyncio.timeout(10.0):
            async for event in ticks:
                if isinstance(event.message, Tick) and event.message.gauges["answered_total"]:
                    assert event.message.gauges["answered_total"] == 1.0
                    break
        assert (await shell.nerv("deadletter", "drop")).code == 2
        assert (await shell.nerv("deadletter", "show", "2")).code == 2
        await shell.check("deadletter", "drop", "--all", "--yes")
        assert await shell.check("deadletter", "ls", "--json") == ""


async def test_a_tap_from_the_shell_follows_one_request_through_the_actors(nursery: Nursery) -> None:
    nursery.bus()
    for class_name, name in (("Worker", "worker"), ("Relay", "relay")):
        nursery.actor(class_name, name).said(b"ready\n")
    async with (
        nursery.client() as client,
        tapping(nursery, "--correlation", "c-1", "--limit", "4") as by_correlation,
        tapping(nursery, "--type", "actor.", "--actor", "worker", "--limit", "2") as by_type,
    ):
        await client.request("worker", ActorRestart(name="before"), correlation="c-0")
        await client.request("relay", SupervisorReload(), correlation="c-1")
        hops = [(one["kind"], one["source"], one["target"]) for one in await by_correlation()]
        assert hops == [
            ("command", client.name, "relay"),
            ("command", "relay", "worker"),
            ("reply", "worker", "relay"),
            ("reply", "relay", client.name),
        ]
        assert [(one["type"], one["correlation"]) for one in await by_type()] == [
            ("actor.restart", "c-0"),
            ("actor.restart", "c-1"),
        ]


@contextlib.asynccontextmanager
async def tapping(
    nursery: Nursery, *words: str
) -> AsyncIterator[Callable[[], Awaitable[list[dict[str, Any]]]]]:
    """A `nerv tap` that watches already; what is yielded waits for its end and gives what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nerv", "tap", "--json", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "NERV_HOME": str(nursery.home), "NERV_INSTANCE": nursery.instance.name},
    )

    async def printed() -> list[dict[str, Any]]:
        async with asyncio.timeout(20.0):
            out, _ = await process.communicate()
        assert process.returncode == 0
        return [msgspec.json.decode(text) for text in out.splitlines()]

    try:
        assert process.stderr is not None
        async with asyncio.timeout(20.0):
            assert "watching" in (await process.stderr.readline()).decode()
        yield printed
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
