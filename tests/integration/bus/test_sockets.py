"""The bus over real sockets: what the memory bus cannot show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
import zmq

from nerv.bus import sockets
from nerv.bus.envelope import Kind
from nerv.bus.handlers import CURRENT, Context, collect, handles
from nerv.bus.limits import DEFAULT_LIMITS, Limits
from nerv.bus.messages import BusStatus, DeadLetterList, DeadLetterResend, Tapped
from nerv.bus.peer_socket import Peer
from nerv.bus.subscription import Event, Subscription
from nerv.bus.trace import trace_id
from nerv.bus.vocabulary import Command
from nerv.client import Client
from nerv.errors import (
    Busy,
    ConfigurationError,
    DeadlineExceeded,
    Disconnected,
    ErrorCode,
    ErrorInfo,
    NervError,
    RemoteError,
    Undeliverable,
)
from nerv.instance import Instance
from nerv.messages import (
    ActorRestart,
    Ok,
    PeerChanged,
    Reloaded,
    SupervisorReload,
    SupervisorStatus,
    SupervisorStop,
    Tick,
)
from nerv.sync import SyncClient
from nerv.testing import RunningBus, running_bus


class Worker:
    """Answers a few commands of the runtime, whose types are at hand."""

    def __init__(self) -> None:
        self.restarted: list[str] = []
        self.correlations: list[str] = []
        self.traces: list[str] = []
        self.gate = asyncio.Event()
        self.peer: Peer | None = None

    @handles(ActorRestart)
    def restart(self, message: ActorRestart, context: Context) -> Ok:
        self.restarted.append(message.name)
        self.correlations.append(context.correlation)
        self.traces.append(context.envelope.trace)
        if message.name == "refuse":
            raise NervError(ErrorInfo(code=ErrorCode.NOT_FOUND, reason="no such actor", field="name"))
        if message.name == "break":
            raise ZeroDivisionError("broken")
        return Ok()

    @handles(SupervisorStop)
    async def stop(self, _: SupervisorStop, __: Context) -> Ok:
        await self.gate.wait()
        return Ok()

    @handles(SupervisorReload)
    async def forward(self, _: SupervisorReload, context: Context) -> Reloaded:
        assert self.peer is not None
        self.traces.append(context.envelope.trace)
        await self.peer.request("second", ActorRestart(name="forwarded"))
        return Reloaded()


@pytest.fixture
async def bus() -> AsyncIterator[RunningBus]:
    async with running_bus() as running:
        yield running


async def until(condition: Callable[[], object]) -> None:
    """Wait for what another task or thread brings about; fails after 5 s."""
    async with asyncio.timeout(5.0):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


async def take(subscription: Subscription, count: int) -> list[Event]:
    async with asyncio.timeout(5.0):
        return [await anext(subscription) for _ in range(count)]


async def test_a_request_is_answered_and_refusals_and_failures_arrive_as_typed_errors(
    bus: RunningBus,
) -> None:
    await bus.peer("worker", handlers=collect(Worker()))
    client = await bus.peer("client")
    assert await client.request("worker", ActorRestart(name="x")) == Ok()
    with pytest.raises(RemoteError) as refused:
        await client.request("worker", ActorRestart(name="refuse"))
    assert (refused.value.code, refused.value.info.field) == (ErrorCode.NOT_FOUND, "name")
    with pytest.raises(RemoteError) as failed:
        await client.request("worker", ActorRestart(name="break"))
    assert failed.value.code is ErrorCode.INTERNAL
    assert "ZeroDivisionError" in failed.value.info.reason


async def test_a_type_nobody_handles_and_a_wrong_payload_are_named(bus: RunningBus) -> None:
    await bus.peer("worker", handlers=collect(Worker()))
    client = await bus.peer("client")
    with pytest.raises(RemoteError) as unhandled:
        await client.request("worker", SupervisorStatus())
    assert (unhandled.value.code, unhandled.value.info.field) == (ErrorCode.INVALID, "target")
    with pytest.raises(RemoteError) as unknown:
        await client.request_envelope("worker", "no.such", msgspec.Raw(b"\x80"))
    assert unknown.value.code is ErrorCode.UNKNOWN_TYPE
    with pytest.raises(RemoteError) as wrong:
        await client.request_envelope(
            "worker", "actor.restart", msgspec.Raw(msgspec.msgpack.encode({"name": 7}))
        )
    assert (wrong.value.code, wrong.value.info.field) == (ErrorCode.BAD_PAYLOAD, "name")


async def test_a_payload_above_the_limit_is_refused_before_it_is_sent() -> None:
    async with running_bus(Limits(message_bytes=1000)) as bus:
        await bus.peer("worker", handlers=collect(Worker()))
        client = await bus.peer("client")
        with pytest.raises(RemoteError) as large:
            await client.request("worker", ActorRestart(name="x" * 1001))
        assert large.value.code is ErrorCode.TOO_LARGE
        assert await client.request("worker", ActorRestart(name="x")) == Ok()


async def test_peers_survive_a_new_broker_without_losing_a_request(bus: RunningBus) -> None:
    worker = Worker()
    await bus.peer("worker", handlers=collect(worker))
    client = await bus.peer("client")
    await client.request("worker", ActorRestart(name="before"))
    accepted = asyncio.create_task(client.request("worker", SupervisorStop()))
    await asyncio.sleep(0)
    await bus.stop_broker()
    sent_without = asyncio.create_task(client.request("worker", ActorRestart(name="without")))
    await asyncio.sleep(0.1)
    bus.start_broker()
    worker.gate.set()
    async with asyncio.timeout(10.0):
        assert await accepted == Ok()
        assert await sent_without == Ok()
    assert worker.restarted == ["before", "without"]


async def test_every_request_of_a_burst_survives_broker_restarts(bus: RunningBus) -> None:
    worker = Worker()
    await bus.peer("worker", handlers=collect(worker))
    client = await bus.peer("client")

    async def ask(number: int) -> None:
        await asyncio.sleep(number / 500)
        await client.request("worker", ActorRestart(name=str(number)))

    async with asyncio.timeout(30.0), asyncio.TaskGroup() as group:
        for number in range(500):
            group.create_task(ask(number))
        for _ in range(3):
            await asyncio.sleep(0.2)
            await bus.stop_broker()
            bus.start_broker()
    assert sorted(worker.restarted, key=int) == [str(number) for number in range(500)]


async def test_an_unknown_name_is_undeliverable_becomes_a_dead_letter_and_can_be_sent_again() -> None:
    async with running_bus(Limits(hold_unknown=0.3)) as bus:
        client = await bus.peer("client")
        with pytest.raises(Undeliverable):
            await client.request("late", ActorRestart(name="kept"))
        page = await client.request("bus", DeadLetterList())
        assert [(letter.target, letter.type) for letter in page.letters] == [("late", "actor.restart")]
        late = Worker()
        await bus.peer("late", handlers=collect(late))
        await client.request("bus", DeadLetterResend(number=page.letters[0].number))
        await until(lambda: late.restarted)
        assert late.restarted == ["kept"]


async def test_a_full_queue_is_busy_and_the_bounds_hold() -> None:
    async with running_bus(Limits(queue_envelopes=5, busy_retry=0.05)) as bus:
        worker = Worker()
        await bus.peer("worker", handlers=collect(worker), window=2)
        client = await bus.peer("client")
        tasks = [
            asyncio.create_task(client.request("worker", SupervisorStop(), timeout=1.0)) for _ in range(20)
        ]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        kinds = [type(outcome) for outcome in outcomes]
        assert set(kinds) == {Busy, DeadlineExceeded}
        assert kinds.count(DeadlineExceeded) >= 7
        assert bus.broker.statistics().core.waiting <= 5


async def test_a_younger_incarnation_takes_the_name_and_the_older_one_learns_it(bus: RunningBus) -> None:
    old, new = Worker(), Worker()
    old_peer = await bus.peer("worker", handlers=collect(old))
    client = await bus.peer("client")
    await bus.peer("worker", handlers=collect(new))
    async with asyncio.timeout(5.0):
        await old_peer.fenced.wait()
    await client.request("worker", ActorRestart(name="x"))
    assert (old.restarted, new.restarted) == ([], ["x"])
    with pytest.raises(Disconnected) as fenced:
        await old_peer.request("worker", ActorRestart(name="y"))
    assert fenced.value.code is ErrorCode.FENCED


async def test_correlation_and_causation_go_on_through_a_handler(bus: RunningBus) -> None:
    first, second = Worker(), Worker()
    first.peer = await bus.peer("first", handlers=collect(first))
    await bus.peer("second", handlers=collect(second))
    client = await bus.peer("client")
    await client.request("first", SupervisorReload(), correlation="user-request-1")
    assert second.correlations == ["user-request-1"]
    (before,), (after,) = first.traces, second.traces
    assert before[:36] == after[:36] == f"00-{trace_id('user-request-1')}-"
    assert before[36:52] != after[36:52]
    assert CURRENT.get() is None


async def test_a_handler_that_answers_with_another_type_is_an_error_of_its_own(bus: RunningBus) -> None:
    class Confused:
        @handles(SupervisorReload)
        def plain(self, _: SupervisorReload, context: Context) -> Ok:
            return Ok()

        @handles(ActorRestart)
        async def coroutine(self, _: ActorRestart, context: Context) -> Reloaded:
            return Reloaded()

    await bus.peer("confused", handlers=collect(Confused()))
    client = await bus.peer("client")
    commands: tuple[Command[Any], ...] = (SupervisorReload(), ActorRestart(name="x"))
    for command in commands:
        with pytest.raises(RemoteError, match="instead of") as refused:
            await client.request("confused", command)
        assert refused.value.code is ErrorCode.INTERNAL


async def test_events_published_before_the_broker_is_there_arrive(bus: RunningBus) -> None:
    watcher = await bus.peer("watcher")
    async with watcher.subscribe("tick.") as subscription:
        publisher = Peer(bus.endpoints, name="early")
        await publisher.open()
        for number in range(100):
            publisher.publish("tick.early", Tick(actor="early", incarnation="i", pid=1, at=float(number)))
        events = await take(subscription, 100)
        await publisher.close()
    assert [event.seq for event in events] == list(range(1, 101))
    assert [event.gap for event in events] == [0] * 100


async def test_a_subscriber_that_does_not_read_loses_its_own_events_and_sees_the_gap(bus: RunningBus) -> None:
    watcher = await bus.peer("watcher")
    publisher = await bus.peer("publisher")
    async with (
        watcher.subscribe("tick.", capacity=10) as slow,
        watcher.subscribe("tick.", capacity=1000) as quick,
    ):
        for number in range(50):
            publisher.publish("tick.x", Tick(actor="x", incarnation="i", pid=1, at=float(number)))
        assert [event.gap for event in await take(quick, 50)] == [0] * 50
        event = await anext(slow)
        assert (event.seq, event.gap) == (41, 40)


async def test_peers_that_come_and_go_are_announced(bus: RunningBus) -> None:
    watcher = await bus.peer("watcher")
    async with watcher.subscribe("peer.") as subscription:
        guest = Peer(bus.endpoints, name="guest")
        await guest.open(5.0)
        await guest.close("done")
        came, went = (event.message for event in await take(subscription, 2))
    assert isinstance(came, PeerChanged)
    assert isinstance(went, PeerChanged)
    assert (came.name, came.up, went.up, went.reason) == ("guest", True, False, "done")


async def test_a_subscription_takes_force_again_after_a_new_broker(bus: RunningBus) -> None:
    watcher = await bus.peer("watcher")
    publisher = await bus.peer("publisher")
    async with watcher.subscribe("tick.") as subscription:
        await bus.stop_broker()
        bus.start_broker()
        await until(lambda: subscription.attached == 2 and publisher.connected)
        publisher.publish("tick.x", Tick(actor="x", incarnation="i", pid=1, at=1.0))
        assert (await take(subscription, 1))[0].topic == "tick.x"


async def test_a_tap_shows_headers_only_while_somebody_watches(bus: RunningBus) -> None:
    await bus.peer("worker", handlers=collect(Worker()))
    client = await bus.peer("client")
    await client.request("worker", ActorRestart(name="unseen"))
    assert not bus.broker.core.tapping
    async with client.subscribe("tap.") as tap:
        assert bus.broker.core.tapping
        await client.request("worker", ActorRestart(name="seen"), correlation="c-1")
        headers = [event.message for event in await take(tap, 2)]
    assert [
        (header.kind, header.source, header.target, header.correlation)
        for header in headers
        if isinstance(header, Tapped)
    ] == [("command", "client", "worker", "c-1"), ("reply", "worker", "client", "c-1")]
    await until(lambda: not bus.broker.core.tapping)


async def test_a_tap_lasts_as_long_as_its_last_watcher(bus: RunningBus) -> None:
    one, two = await bus.peer("one"), await bus.peer("two")
    async with one.subscribe("tap."):
        async with two.subscribe("tap."), two.subscribe("tap.actor."):
            pass
        await two.request("bus", BusStatus())
        await two.subscribe("tick.").ready()  # what was unsubscribed before has arrived with it
        assert bus.broker.core.tapping
    await until(lambda: not bus.broker.core.tapping)


class Slow:
    """Both take their time; what one accepts is acknowledged at once, what the other accepts is done."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    @handles(SupervisorStop)
    async def on_accept(self, _: SupervisorStop, __: Context) -> Ok:
        await self.gate.wait()
        return Ok()

    @handles(ActorRestart, ack="on_reply")
    async def on_reply(self, _: ActorRestart, __: Context) -> Ok:
        await self.gate.wait()
        return Ok()


async def test_an_acknowledgement_comes_before_the_answer_unless_the_handler_says_otherwise() -> None:
    slow = Slow()
    async with running_bus(Limits(resend=30.0, probe=30.0)) as bus:  # what is sent again would be tapped too
        await bus.peer("slow", handlers=collect(slow))
        client, watcher = await bus.peer("client"), await bus.peer("watcher")
        async with watcher.subscribe("tap.") as tap:
            done = asyncio.create_task(client.request("slow", ActorRestart(name="x")))
            accepted = asyncio.create_task(client.request("slow", SupervisorStop()))
            first = [event.message for event in await take(tap, 3)]
            assert [(one.kind, one.source) for one in first if isinstance(one, Tapped)] == [
                ("command", "client"),
                ("command", "client"),
                ("ack", "slow"),
            ]
            assert not accepted.done()
            slow.gate.set()
            async with asyncio.timeout(5.0):
                assert [await done, await accepted] == [Ok(), Ok()]
            last = [event.message for event in await take(tap, 2)]
            assert {one.kind for one in last if isinstance(one, Tapped)} == {"reply"}
            assert tap.get_nowait() is None


async def test_an_event_of_a_handler_belongs_to_the_command_in_hand(bus: RunningBus) -> None:
    class Publishing:
        @handles(ActorRestart)
        async def restart(self, message: ActorRestart, _: Context) -> Ok:
            peer.publish("tick.x", Tick(actor=message.name, incarnation="i", pid=1, at=1.0))
            return Ok()

    peer = await bus.peer("publishing", handlers=collect(Publishing()))
    client = await bus.peer("client")
    async with client.subscribe("tick.") as events, client.subscribe("tap.actor.") as tap:
        await client.request("publishing", ActorRestart(name="x"), correlation="c-1")
        (event,), (tapped,) = await take(events, 1), await take(tap, 1)
        peer.publish("tick.x", Tick(actor="y", incarnation="i", pid=1, at=2.0))
        (own,) = await take(events, 1)
    assert isinstance(tapped.message, Tapped)
    assert (event.envelope.correlation, event.envelope.causation) == ("c-1", tapped.message.id)
    assert event.envelope.trace.startswith(f"00-{trace_id('c-1')}-")
    assert (own.envelope.correlation, own.envelope.causation, own.envelope.trace) == ("", "", "")


async def test_the_broker_tells_its_state(bus: RunningBus) -> None:
    client = await bus.peer("client")
    view = await client.request("bus", BusStatus())
    assert [peer.name for peer in view.peers] == ["client"]


async def test_no_broker_is_disconnected_within_the_time_given(bus: RunningBus) -> None:
    await bus.stop_broker()
    peer = Peer(bus.endpoints, name="lonely")
    with pytest.raises(Disconnected, match="nerv up"):
        await peer.open(0.2)
    await peer.close()


async def test_draining_finishes_what_is_in_hand_and_leaves_the_rest_to_the_next_life(
    bus: RunningBus,
) -> None:
    worker, successor = Worker(), Worker()
    peer = await bus.peer("worker", handlers=collect(worker))
    client = await bus.peer("client")
    in_hand = asyncio.create_task(client.request("worker", SupervisorStop()))
    await until(lambda: peer.in_flight)
    draining = asyncio.create_task(peer.drain(5.0))
    await asyncio.sleep(0.05)
    later = asyncio.create_task(client.request("worker", ActorRestart(name="later")))
    worker.gate.set()
    assert await draining
    assert await in_hand == Ok()
    await peer.close()
    await bus.peer("worker", handlers=collect(successor))
    async with asyncio.timeout(5.0):
        assert await later == Ok()
    assert (worker.restarted, successor.restarted) == ([], ["later"])


def raw_dealer(bus: RunningBus, context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    socket = sockets.dealer(context, DEFAULT_LIMITS, b"raw")
    socket.connect(bus.endpoints.commands)
    return socket


async def answer_to(socket: zmq.Socket[bytes], *frames: bytes) -> list[object]:
    """Send frames and return the first envelope that comes back, as plain fields."""
    async with asyncio.timeout(5.0):
        while True:
            try:
                socket.send_multipart(frames, zmq.DONTWAIT)
                break
            except zmq.Again:
                await asyncio.sleep(0.01)
        while True:
            try:
                _, bundle = socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                await asyncio.sleep(0.01)
            else:
                envelope: list[object] = msgspec.msgpack.decode(bundle)[0]
                return envelope


async def test_garbage_from_a_stranger_gets_one_clear_error_and_harms_nobody(bus: RunningBus) -> None:
    await bus.peer("worker", handlers=collect(Worker()))
    client = await bus.peer("client")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = raw_dealer(bus, context)
    try:
        error = await answer_to(socket, b"", b"\xff garbage")
        assert error[2] == Kind.ERROR
        assert error[12]["code"] == "bad_envelope"  # type: ignore[index]
        greet = await answer_to(socket, b"worker", b"\x91\x90")
        assert (greet[2], greet[3]) == (Kind.HELLO, "link.greet")
    finally:
        socket.close()
        await asyncio.to_thread(context.term)
    assert await client.request("worker", ActorRestart(name="x")) == Ok()


async def test_the_lock_keeps_a_second_broker_from_stealing_the_sockets(
    bus: RunningBus, nerv_home: object
) -> None:
    instance = Instance.locate("lock", {"NERV_HOME": str(nerv_home)})
    instance.create()
    first, second = sockets.AddressLock(instance.bus_lock), sockets.AddressLock(instance.bus_lock)
    first.acquire()
    with pytest.raises(ConfigurationError, match="another broker"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


async def test_the_synchronous_client_does_the_same(bus: RunningBus) -> None:
    await bus.peer("worker", handlers=collect(Worker()))
    publisher = await bus.peer("publisher")

    def work() -> list[object]:
        with SyncClient(endpoints=bus.endpoints) as client:
            first = client.request("worker", ActorRestart(name="x"))
            second = client.send("actor.restart", '{"name": "y"}', target="worker")
            events = client.events("tick.", timeout=5.0)
            loop.call_soon_threadsafe(publish_soon)
            return [first, second, next(events).topic]

    async def publish() -> None:
        while not stop.is_set():
            publisher.publish("tick.x", Tick(actor="x", incarnation="i", pid=1, at=1.0))
            await asyncio.sleep(0.05)

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    publishing: list[asyncio.Task[None]] = []

    def publish_soon() -> None:
        publishing.append(loop.create_task(publish()))

    assert await asyncio.to_thread(work) == [Ok(), Ok(), "tick.x"]
    stop.set()
    await asyncio.gather(*publishing)


async def _counted(client: Client, count: int, fail: bool = False) -> AsyncIterator[Ok]:
    async with asyncio.timeout(10):  # as a task has it: entered and left in the same one
        for number in range(count):
            yield await client.request("worker", ActorRestart(name=f"n{number}"))
        if fail:
            await client.request("worker", ActorRestart(name="refuse"))


async def test_the_blocking_client_runs_what_is_written_for_the_other_one(bus: RunningBus) -> None:
    worker = Worker()
    await bus.peer("worker", handlers=collect(worker))

    async def once(client: Client, name: str) -> Ok:
        return await client.request("worker", ActorRestart(name=name))

    def work() -> None:
        with SyncClient(endpoints=bus.endpoints) as client:
            assert client.call(once, "once") == Ok()
            assert list(client.iterate(_counted, 3)) == [Ok()] * 3
            for step in client.iterate(_counted, 1000):
                assert step == Ok()
                break  # given up: it is closed, and runs at most a step ahead
            with pytest.raises(RemoteError, match="no such actor"):
                list(client.iterate(_counted, 2, fail=True))

    await asyncio.to_thread(work)
    assert len(worker.restarted) <= 1 + 3 + 3 + 3


def test_a_client_refuses_an_option_that_it_does_not_have() -> None:
    with pytest.raises(TypeError, match="no option timeout"):
        Client(timeout=3)  # type: ignore[call-arg]  # that is what is wrong


async def test_without_a_broker_a_peer_keeps_nothing_but_its_greeting(bus: RunningBus) -> None:
    await bus.stop_broker()
    peer = Peer(bus.endpoints, name="lonely")
    await peer.open()
    await asyncio.sleep(1.2)
    assert len(peer._unsent) <= 1
    bus.start_broker()
    await peer.wait_connected(5.0)
    await peer.close()
