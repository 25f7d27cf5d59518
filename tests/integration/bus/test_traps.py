"""The traps of ZeroMQ and pyzmq into which others fell, one test or more for each."""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from nerv.bus import bundle as bundles
from nerv.bus import sockets
from nerv.bus.endpoints import Endpoints
from nerv.bus.envelope import BROKER, Envelope, EnvelopeId, Kind, PeerName
from nerv.bus.event_socket import EVENTS_KEPT
from nerv.bus.handlers import Context, collect, handles
from nerv.bus.limits import DEFAULT_LIMITS, Limits
from nerv.bus.link import Hello
from nerv.bus.messages import BUS_NAME, BusStatus
from nerv.bus.peer_socket import Peer
from nerv.bus.subscription import Event
from nerv.errors import Disconnected, ErrorCode, NervError
from nerv.messages import ActorRestart, Ok, PeerChanged, SupervisorStop, Tick
from nerv.testing import OPEN_SECONDS, RunningBus, running_bus
from tests.cluster import until


class Worker:
    """Answers at once, or when its gate opens."""

    def __init__(self) -> None:
        self.restarted: list[str] = []
        self.gate = asyncio.Event()

    @handles(ActorRestart)
    def restart(self, message: ActorRestart, _: Context) -> Ok:
        self.restarted.append(message.name)
        return Ok()

    @handles(SupervisorStop)
    async def stop(self, _: SupervisorStop, __: Context) -> Ok:
        await self.gate.wait()
        return Ok()


@pytest.fixture
async def bus() -> AsyncIterator[RunningBus]:
    async with running_bus() as running:
        yield running


def tick(number: int) -> Tick:
    return Tick(actor="x", incarnation="i", pid=1, at=float(number))


class Raw:
    """A DEALER that says what it is told to, and reads only when it is told to."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], bus: RunningBus, name: str = "raw") -> None:
        self.name = name
        self.socket = sockets.dealer(context, DEFAULT_LIMITS, name.encode())
        self.socket.connect(bus.endpoints.commands)
        self._number = 0

    def envelope(self, kind: Kind, type_name: str, target: str, payload: object) -> Envelope:
        self._number += 1
        return Envelope(
            id=EnvelopeId(f"{self.name}-{self._number}"),
            kind=kind,
            type=type_name,
            source=PeerName(self.name),
            target=PeerName(target),
            payload=msgspec.Raw(msgspec.msgpack.encode(payload)),
        )

    def ask(self) -> None:
        """Send a command, which the broker itself answers, without a look at anything else."""
        command = self.envelope(Kind.COMMAND, "bus.status", "bus", {})
        self.socket.send_multipart((b"bus", bundles.encode([command])), zmq.DONTWAIT)

    async def send(self, kind: Kind, type_name: str, target: str, payload: object) -> str:
        """One envelope, as soon as the socket takes it; its id."""
        envelope = self.envelope(kind, type_name, target, payload)
        await self.put(target.encode(), bundles.encode([envelope]))
        return envelope.id

    async def put(self, *frames: bytes) -> None:
        async with asyncio.timeout(10.0):
            while True:
                with suppress(zmq.Again):
                    self.socket.send_multipart(frames, zmq.DONTWAIT)
                    return
                await asyncio.sleep(0)

    async def greet(self, *, credit: int = 0) -> None:
        """Say HELLO, again and again, until WELCOME."""
        hello = Hello(name=self.name, incarnation="raw", started_at=1.0, credit=credit)
        async with asyncio.timeout(10.0):
            while True:
                await self.send(Kind.HELLO, "link.hello", BROKER, hello)
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.25):
                        while (await self.read()).kind is not Kind.WELCOME:
                            pass
                        return

    async def read(self) -> Envelope:
        """The next envelope; each of our bundles here holds one."""
        async with asyncio.timeout(10.0):
            while True:
                with suppress(zmq.Again):
                    _, bundle = self.socket.recv_multipart(zmq.DONTWAIT)
                    return bundles.decode(bundle)[0]
                await asyncio.sleep(0)


@contextmanager
def own_context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        yield context
    finally:
        context.destroy(linger=0)


ASKED = 1500
"""Enough answers to fill both high-water marks and what the system keeps between them."""


async def not_reading(raw: Raw, bus: RunningBus) -> list[str]:
    """Ask and ask, and read no answer, until the broker's socket takes no more of them; the ids."""
    asked = [await raw.send(Kind.COMMAND, "bus.status", "bus", {}) for _ in range(ASKED)]
    await until("its socket is full", lambda: bus.broker.statistics().core.backlog > 100)
    return asked


async def test_a_peer_that_reads_nothing_loses_nothing_keeps_its_order_and_delays_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A ROUTER drops in silence at a peer's high-water mark; one full peer blocks a queue that all share."""
    monkeypatch.setattr(sockets, "HIGH_WATER", 4)
    async with running_bus() as bus:
        await bus.peer("worker", handlers=collect(Worker()))
        client = await bus.peer("client")
        with own_context() as context:
            raw = Raw(context, bus)
            await raw.greet()
            asked = await not_reading(raw, bus)
            async with asyncio.timeout(5.0):
                for number in range(200):
                    await client.request("worker", ActorRestart(name=str(number)))
            answered: list[str] = []
            while len(answered) < ASKED:
                envelope = await raw.read()
                if envelope.kind is Kind.REPLY:
                    answered.append(envelope.causation)
            assert answered == asked
            assert bus.broker.statistics().core.answers_dropped == 0


class FullOnce:
    """A ROUTER that refuses the first message to one peer, and takes the next one: room was made in between."""

    def __init__(self, router: Any, identity: bytes) -> None:
        self._router, self._identity, self.refused = router, identity, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._router, name)

    def send(self, data: bytes, flags: int) -> None:
        if data == self._identity and not self.refused:
            self.refused = True
            raise zmq.Again
        self._router.send(data, flags)


async def test_room_made_while_messages_leave_does_not_let_the_later_ones_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker, most = Worker(), 600
    async with running_bus() as bus:
        target = await bus.peer("worker", handlers=collect(worker), window=most)
        client = await bus.peer("client")
        for warm in range(3):  # by now the credit of the whole window has come
            await client.request("worker", ActorRestart(name=str(warm)))
        router = FullOnce(bus.broker._router, f"worker@{target.incarnation}".encode())
        monkeypatch.setattr(bus.broker, "_router", router)
        async with asyncio.timeout(5.0):
            await asyncio.gather(
                *(client.request("worker", ActorRestart(name=str(number))) for number in range(most))
            )
        monkeypatch.undo()
    assert router.refused
    assert worker.restarted[3:] == [str(number) for number in range(most)]


async def test_a_full_peer_that_leaves_blocks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mandatory send that waits for a full peer hangs when that peer leaves."""
    monkeypatch.setattr(sockets, "HIGH_WATER", 4)
    async with running_bus() as bus:
        client = await bus.peer("client")
        with own_context() as context:
            raw = Raw(context, bus)
            await raw.greet()
            await not_reading(raw, bus)
            raw.socket.close(linger=0)
            await until("it is gone", lambda: bus.broker.statistics().core.peers == 1)
            assert bus.broker.statistics().core.backlog == 0
            async with asyncio.timeout(5.0):
                await client.request("bus", BusStatus())


async def test_a_second_connection_of_the_same_routing_id_is_heard(bus: RunningBus) -> None:
    """Without HANDOVER a ROUTER ignores it in silence, as long as it believes in the first one."""
    with own_context() as context:
        first = Raw(context, bus)
        await first.greet()
        second = Raw(context, bus)
        await second.greet()
        command = await second.send(Kind.COMMAND, "bus.status", "bus", {})
        while (answer := await second.read()).kind is not Kind.REPLY:
            pass
        assert answer.causation == command


async def test_what_is_sent_to_a_connection_that_is_gone_goes_to_the_next_life(bus: RunningBus) -> None:
    """EHOSTUNREACH is no error of the broker: the peer is gone, and may come back."""
    client, watcher, worker = await bus.peer("client"), await bus.peer("watcher"), Worker()
    async with watcher.subscribe("peer.raw") as changes:
        with own_context() as context:
            raw = Raw(context, bus)
            await raw.greet(credit=10)
        command = asyncio.create_task(client.request("raw", ActorRestart(name="x")))
        async with asyncio.timeout(5.0):
            messages = [(await anext(changes)).message for _ in range(2)]
        assert [(one.up, one.reason) for one in messages if isinstance(one, PeerChanged)] == [
            (True, "hello"),
            (False, "connection lost"),
        ]
        await bus.peer("raw", handlers=collect(worker))
        async with asyncio.timeout(5.0):
            assert await command == Ok()
    assert worker.restarted == ["x"]


async def test_a_frame_beyond_the_bound_costs_only_the_connection_it_came_over() -> None:
    """The default of MAXMSGSIZE is unlimited."""
    async with running_bus(Limits(message_bytes=1000, bundle_bytes=1000)) as bus:
        client = await bus.peer("client")
        with own_context() as context:
            raw = Raw(context, bus)
            await raw.greet()
            before = bus.broker.statistics().core.messages
            await raw.put(b"client", b"x" * 1_000_000)
            await raw.greet()  # over a new connection: this one was ended
            await client.request("bus", BusStatus())
            taken = bus.broker.statistics().core.messages - before
        assert taken < 10, "greetings and signs of life only"
        assert bus.broker.statistics().core.malformed == 0


async def test_a_message_of_another_number_of_frames_is_answered(bus: RunningBus) -> None:
    with own_context() as context:
        raw = Raw(context, bus)
        await raw.greet()
        await raw.put(b"", b"one", b"two many")
        while (answer := await raw.read()).kind is not Kind.ERROR:
            pass
        assert msgspec.msgpack.decode(answer.payload)["code"] == "bad_envelope"


Later = Callable[..., asyncio.TimerHandle]


async def test_no_wake_up_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """pyzmq's descriptor is edge-triggered: under load, in both directions, and no timer to make good for it."""
    loop = asyncio.get_running_loop()
    real_later: Later = loop.call_later

    def never(_: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        return real_later(3600.0, callback, *args)

    monkeypatch.setattr(loop, "call_later", never)
    async with running_bus() as bus:
        workers = {name: Worker() for name in ("one", "two")}
        one, two = [await bus.peer(name, handlers=collect(worker)) for name, worker in workers.items()]
        received: list[Event] = []

        async def ask(peer: Peer, other: str, count: int) -> None:
            for number in range(count):
                await peer.request(other, ActorRestart(name=str(number)))
                peer.publish(f"tick.{peer.name}", tick(number))

        async def watch() -> None:
            async for event in events:
                received.append(event)
                if len(received) == 2 * 32 * 50:
                    return

        async with asyncio.timeout(30.0), two.subscribe("tick.", capacity=10_000) as events:
            async with asyncio.TaskGroup() as group:
                group.create_task(watch())
                for _ in range(32):
                    group.create_task(ask(one, "two", 50))
                    group.create_task(ask(two, "one", 50))
            for number in range(500):  # one at a time: each needs a wake-up of its own
                await ask(one, "two", 1)
                assert len(workers["two"].restarted) == 32 * 50 + number + 1
        assert [event for event in received if event.gap] == []
        with own_context() as context:
            raw = Raw(context, bus)
            await raw.greet()
            for _ in range(1000):  # more than are read in one turn, and nothing comes after them
                raw.ask()
            answers = [envelope for _ in range(1000) if (envelope := await raw.read()).kind is Kind.REPLY]
            assert len(answers) == 1000
        monkeypatch.undo()


async def test_the_first_greeting_is_not_left_lying(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a send has refused goes out as soon as the socket is ready, without a timer."""
    overlooked = 0

    class Overlooking(zmq.Socket[bytes]):
        """Its first sends overlook the connection, as libzmq's may: it looks for new ones once a millisecond."""

        def send(self, *args: Any, **more: Any) -> Any:
            nonlocal overlooked
            if self.type == zmq.DEALER and overlooked < 3:
                overlooked += 1
                raise zmq.Again
            return super().send(*args, **more)

    loop = asyncio.get_running_loop()
    real_later: Later = loop.call_later
    async with running_bus() as bus:
        monkeypatch.setattr(loop, "call_later", lambda _, *call: real_later(3600.0, *call))
        with own_context() as context:
            monkeypatch.setattr(context, "_socket_class", Overlooking)
            peer = Peer(bus.endpoints, name="one", context=context)
            await peer.open(OPEN_SECONDS)
            await peer.close()
        monkeypatch.undo()
    assert overlooked == 3


async def test_who_gives_up_waiting_loses_nothing(bus: RunningBus) -> None:
    """A cancelled receive may have taken a message already: here nobody waits at a socket."""
    worker = Worker()
    await bus.peer("worker", handlers=collect(worker))
    client, publisher = await bus.peer("client"), await bus.peer("publisher")
    async with client.subscribe("tick.", capacity=1000) as events:
        received: list[float] = []
        for number in range(300):
            publisher.publish("tick.x", tick(number))
            waiting = asyncio.ensure_future(anext(events))
            for _ in range(number % 8):
                await asyncio.sleep(0)
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                received.append((await waiting).message.at)  # type: ignore[attr-defined]
        async with asyncio.timeout(5.0):
            while len(received) < 300:
                event = await anext(events)
                assert event.gap == 0
                assert isinstance(event.message, Tick)
                received.append(event.message.at)
        assert received == [float(number) for number in range(300)]


async def test_a_request_given_up_takes_no_other_with_it(bus: RunningBus) -> None:
    worker = Worker()
    await bus.peer("worker", handlers=collect(worker))
    client = await bus.peer("client")
    given_up = [asyncio.create_task(client.request("worker", SupervisorStop())) for _ in range(20)]
    kept = [asyncio.create_task(client.request("worker", SupervisorStop())) for _ in range(20)]
    await until("all are in work", lambda: client.statistics().core.pending == 40)
    for task in given_up:
        task.cancel()
    await asyncio.gather(*given_up, return_exceptions=True)
    assert client.statistics().core.pending == 20
    worker.gate.set()
    async with asyncio.timeout(5.0):
        assert await asyncio.gather(*kept) == [Ok()] * 20
    await until("the late ones are counted", lambda: client.statistics().core.late == 20)


async def test_a_peer_is_not_taken_over_a_fork(bus: RunningBus) -> None:
    """A context that crosses a fork asserts or hangs."""
    peer = await bus.peer("peer")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the fork itself, from Python 3.12 on
        child = os.fork()
    if child == 0:
        status = 1
        try:
            peer.subscribe("tick.")
        except RuntimeError as error:
            status = 0 if "fork" in str(error) else 2
        finally:
            os._exit(status)
    _, ended = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(ended) == 0
    await peer.request("bus", BusStatus())


async def test_a_peer_is_not_used_from_another_thread(bus: RunningBus) -> None:
    """A socket that two threads touch aborts the process."""
    peer = await bus.peer("peer")
    with pytest.raises(RuntimeError, match="another thread"):
        await asyncio.to_thread(peer.subscribe, "tick.")
    await peer.request("bus", BusStatus())


async def test_each_event_arrives_or_is_counted_as_missed_while_brokers_come_and_go(bus: RunningBus) -> None:
    """PUB loses what is published early, and in between, in silence."""
    publisher, watcher = await bus.peer("publisher"), await bus.peer("watcher")
    published = 0

    async def publish(count: int) -> None:
        nonlocal published
        for _ in range(count):
            published += 1
            publisher.publish("tick.x", tick(published))
            await asyncio.sleep(0)

    def in_force_again(times: int) -> bool:
        return events.attached == times and publisher.connected

    async with watcher.subscribe("tick.", capacity=100_000) as events:
        for life in range(3):
            publishing = asyncio.create_task(publish(1000))
            await asyncio.sleep(0.02)
            await bus.stop_broker()
            await asyncio.sleep(0.02)
            bus.start_broker()
            await publishing
            await until("it is in force again", partial(in_force_again, life + 2))
        await publish(1)
        received = missed = 0
        async with asyncio.timeout(10.0):
            async for event in events:
                received += 1
                missed += event.gap
                if event.message == tick(published):
                    break
    assert received + missed == published
    assert received > 1000


async def test_without_a_broker_events_wait_within_bounds_and_then_leave(bus: RunningBus) -> None:
    """PUB throws away what it cannot send. Here the oldest is given up first, and counted."""
    publisher = await bus.peer("publisher")
    await bus.stop_broker()
    await until("it knows that nobody is there", lambda: not publisher.connected)
    count = EVENTS_KEPT + sockets.HIGH_WATER + 500
    for number in range(count):
        publisher.publish("tick.x", tick(number))
        if number % 100 == 0:
            await asyncio.sleep(0)
    held = publisher.statistics()
    assert held.events_waiting == EVENTS_KEPT
    assert 0 < held.events_dropped <= 500
    bus.start_broker()
    await until("all have left", lambda: publisher.statistics().events_waiting == 0)
    assert publisher.statistics().events_dropped == held.events_dropped
    await until(
        "none was lost", lambda: bus.broker.statistics().events >= count - held.events_dropped, seconds=5.0
    )


async def test_leaving_is_quick_whatever_still_waits(bus: RunningBus) -> None:
    """The end of a context waits for every message of every socket, for ever if LINGER says so."""
    worker = Worker()
    await bus.peer("worker", handlers=collect(worker))
    client = Peer(bus.endpoints, name="client")
    await client.open(5.0)
    requests = [
        asyncio.create_task(client.request("worker", SupervisorStop(), timeout=60.0)) for _ in range(300)
    ]
    await until("they are under way", lambda: client.statistics().core.pending == 300)
    await bus.stop_broker()
    for number in range(10_000):
        client.publish("tick.x", tick(number))
    async with asyncio.timeout(5.0):
        await client.close()
    outcomes = await asyncio.gather(*requests, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Disconnected}
    bus.start_broker()


async def test_an_event_that_is_too_large_is_refused() -> None:
    async with running_bus(Limits(message_bytes=1000, bundle_bytes=1000)) as bus:
        peer = await bus.peer("peer")
        with pytest.raises(NervError) as refused:
            peer.publish("tick.x", Tick(actor="x" * 1_000_000, incarnation="i", pid=1, at=1.0))
        assert refused.value.code is ErrorCode.TOO_LARGE


async def in_another_thread(work: Callable[[], object]) -> BaseException | None:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is what the test looks at
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    await asyncio.to_thread(thread.join)
    return raised[0] if raised else None


async def test_publish_and_request_belong_to_the_thread_of_the_peer() -> None:
    async with running_bus() as bus:
        peer = await bus.peer("peer")
        event = Tick(actor="x", incarnation="i", pid=1, at=1.0)
        found = await in_another_thread(lambda: peer.publish("tick.x", event))
        assert "another thread" in str(found)
        found = await in_another_thread(
            lambda: asyncio.run(asyncio.wait_for(peer.request(BUS_NAME, BusStatus()), 0.5))
        )
        assert "another thread" in str(found)


async def test_a_peer_that_is_not_open_says_so(tmp_path: Path) -> None:
    peer = Peer(Endpoints.of_directory(tmp_path / "a", tmp_path / "b", tmp_path / "c"), name="early")
    for use in (
        lambda: peer.publish("tick.x", Tick(actor="x", incarnation="i", pid=1, at=1.0)),
        lambda: peer.subscribe("tick."),
        peer.statistics,
    ):
        with pytest.raises(RuntimeError, match="not open yet"):
            use()
    with pytest.raises(RuntimeError, match="not open yet"):
        await peer.request(BUS_NAME, BusStatus())
    await peer.close()


async def test_a_close_from_another_thread_changes_nothing() -> None:
    async with running_bus() as bus:
        peer = await bus.peer("peer")
        assert "another thread" in str(await in_another_thread(lambda: asyncio.run(peer.close())))
        await peer.request(BUS_NAME, BusStatus(), timeout=5.0)
