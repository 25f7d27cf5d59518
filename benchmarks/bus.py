"""The bus against nats-py with nats-server, and against a bare ZeroMQ loop: same loop, same payload, same run.

`python -m benchmarks.bus [--seconds S] [--rounds N]` prints JSON. In each system requester and responder are two
connections of this process, and the broker or server is a process of its own. Rounds of the systems alternate, and
medians are compared, so that a change of the machine's pace meets all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import nats
import psutil
import uvloop
import zmq

from benchmarks.bare_bus import BarePeer
from nerv.bus.endpoints import Endpoints, endpoints_of
from nerv.bus.envelope import PeerName
from nerv.bus.handlers import Context, collect, handles
from nerv.bus.peer_socket import Peer
from nerv.bus.subscription import Subscription
from nerv.bus.vocabulary import VOCABULARY, Command, Message
from nerv.instance import Instance

IN_FLIGHT = 256
PAYLOAD_BYTES = 240
START_SECONDS = 10.0

Request = Callable[[], Awaitable[object]]


@VOCABULARY.reply("benchmark.echoed")
class Echoed(Message, frozen=True, kw_only=True):
    """The same data back."""

    data: str


@VOCABULARY.command("benchmark.echo", target=None)
class Echo(Command[Echoed], frozen=True, kw_only=True):
    """Some data."""

    data: str


@VOCABULARY.event("benchmark.event")
class Beat(Message, frozen=True, kw_only=True):
    """An event with some data."""

    data: str


DATA = "x" * (PAYLOAD_BYTES - len(msgspec.msgpack.encode(Echo(data=""))) - 1)
"""So that the encoded payload has PAYLOAD_BYTES bytes."""
_encode = msgspec.msgpack.Encoder().encode
_decode_echo = msgspec.msgpack.Decoder(Echo).decode
_decode_echoed = msgspec.msgpack.Decoder(Echoed).decode


def echo(payload: bytes) -> bytes:
    """What each responder does: decode the typed request, encode the typed reply."""
    return _encode(Echoed(data=_decode_echo(payload).data))


class CoroutineResponder:
    """Every command in a task of its own: the usual form of a handler."""

    @handles(Echo)
    async def echo(self, message: Echo, _: Context) -> Echoed:
        return Echoed(data=message.data)


class OrderedResponder:
    """Commands one after the other, as nats-py calls the callback of a subscription."""

    @handles(Echo, concurrency=1)
    async def echo(self, message: Echo, _: Context) -> Echoed:
        return Echoed(data=message.data)


class FunctionResponder:
    """A plain function, called at once."""

    @handles(Echo)
    def echo(self, message: Echo, _: Context) -> Echoed:
        return Echoed(data=message.data)


# -- the systems --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def process(*command: str, environ: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(
        command, env={**os.environ, **(environ or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


async def until(ready: Callable[[], bool]) -> None:
    async with asyncio.timeout(START_SECONDS):
        while not ready():  # noqa: ASYNC110 - another process gets ready
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def nerv_bus(folder: Path) -> AsyncIterator[tuple[Endpoints, psutil.Process]]:
    """A broker as the supervisor starts it, by itself."""
    environ = {"NERV_HOME": str(folder), "NERV_ACTOR": "bus"}
    instance = Instance.locate(environ=environ)
    with process(sys.executable, "-m", "nerv.child", "nerv.bus.server:BusActor", environ=environ) as broker:
        await until(instance.event_out_socket.exists)
        yield endpoints_of(instance), psutil.Process(broker.pid)


@contextlib.asynccontextmanager
async def nerv_requests(endpoints: Endpoints, responder: object, name: str) -> AsyncIterator[Request]:
    requester = Peer(endpoints, name=f"requester-{name}")
    answering = Peer(endpoints, name=f"responder-{name}", handlers=collect(responder), window=512)
    await requester.open(START_SECONDS)
    await answering.open(START_SECONDS)

    async def request() -> object:
        return await requester.request(answering.name, Echo(data=DATA))

    yield request
    await requester.close()
    await answering.close()


@contextlib.asynccontextmanager
async def nats_requests(folder: Path, server: str) -> AsyncIterator[Request]:
    with process(server, "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", str(folder)) as running:
        ports = folder / f"nats-server_{running.pid}.ports"
        await until(lambda: ports.exists() and bool(re.search(r'"nats"', ports.read_text())))
        address = json.loads(ports.read_text())["nats"][0]
        responder, requester = await nats.connect(address), await nats.connect(address)

        async def answer(message: Any) -> None:
            await message.respond(echo(message.data))

        await responder.subscribe("responder", cb=answer)
        await responder.flush()

        async def request() -> object:
            reply = await requester.request("responder", _encode(Echo(data=DATA)), timeout=30)
            return _decode_echoed(reply.data)

        yield request
        await requester.close()
        await responder.close()


@contextlib.asynccontextmanager
async def bare_requests(folder: Path, *, bundled: bool) -> AsyncIterator[Request]:
    path = folder / f"bare-{int(bundled)}"
    address = f"ipc://{path}"
    with process(sys.executable, "-m", "benchmarks.bare_bus", address):
        await until(path.exists)
        answering = BarePeer(address, "responder", bundled=bundled, answer=echo)
        requester = BarePeer(address, "requester", bundled=bundled, answer=echo)
        await _until_answered(requester)

        async def request() -> object:
            return _decode_echoed(await requester.request("responder", _encode(Echo(data=DATA))))

        yield request
        requester.close()
        answering.close()


async def _until_answered(peer: BarePeer) -> None:
    """A bare ROUTER drops what comes before its target is connected: that is what features are for."""
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await peer.request("responder", _encode(Echo(data="")))
                return


# -- the measurements ---------------------------------------------------------------------------------------------


async def pipelined(request: Request, seconds: float) -> float:
    """Requests per second with IN_FLIGHT of them on their way at any time."""
    end = time.perf_counter() + seconds
    done = 0

    async def ask() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await request()
            done += 1

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(ask())
    return done / (time.perf_counter() - started)


async def one_by_one(request: Request, seconds: float) -> list[float]:
    """Times of single requests, in microseconds."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        await request()
        times.append((time.perf_counter() - started) * 1e6)
    return times


async def under_load(request: Request, seconds: float) -> dict[str, float]:
    """Times of single requests while 32 others are always on their way."""
    stopped = False

    async def load() -> None:
        while not stopped:
            await request()

    async with asyncio.TaskGroup() as group:
        for _ in range(32):
            group.create_task(load())
        times = await one_by_one(request, seconds)
        stopped = True
    return _spread(times)


def _spread(times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100)
    return {"median_us": round(cuts[49], 1), "p99_us": round(cuts[98], 1), "count": len(times)}


async def requests(
    folder: Path, endpoints: Endpoints, seconds: float, rounds: int, nats_server: str
) -> dict[str, Any]:
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        systems: dict[str, Request] = {
            "nats": await enter(nats_requests(folder, nats_server)),
            "bare_bundled": await enter(bare_requests(folder, bundled=True)),
            "bare_frame_each": await enter(bare_requests(folder, bundled=False)),
            "nerv": await enter(nerv_requests(endpoints, CoroutineResponder(), "coroutine")),
            "nerv_ordered": await enter(nerv_requests(endpoints, OrderedResponder(), "ordered")),
            "nerv_function": await enter(nerv_requests(endpoints, FunctionResponder(), "function")),
        }
        rates: dict[str, list[float]] = {name: [] for name in systems}
        singles: dict[str, list[float]] = {name: [] for name in systems}
        for request in systems.values():
            await pipelined(request, 0.3)
        for _ in range(rounds):
            for name, request in systems.items():
                rates[name].append(await pipelined(request, seconds))
                singles[name] += await one_by_one(request, seconds / 2)
        loaded = {name: await under_load(systems[name], seconds) for name in ("nats", "nerv")}
    rate = {name: statistics.median(values) for name, values in rates.items()}
    single = {name: _spread(times) for name, times in singles.items()}
    return {
        "pipelined_per_second": {name: round(value) for name, value in rate.items()},
        "single": single,
        "single_under_load_of_32": loaded,
        "ratios": {
            "nerv_to_nats_rate": round(rate["nerv"] / rate["nats"], 2),
            "nerv_ordered_to_nats_rate": round(rate["nerv_ordered"] / rate["nats"], 2),
            "nerv_function_to_nats_rate": round(rate["nerv_function"] / rate["nats"], 2),
            "nerv_to_bare_bundled_rate": round(rate["nerv"] / rate["bare_bundled"], 2),
            "nerv_function_to_bare_bundled_rate": round(rate["nerv_function"] / rate["bare_bundled"], 2),
            "nerv_to_bare_frame_each_rate": round(rate["nerv"] / rate["bare_frame_each"], 2),
            "nerv_to_nats_single_median": round(single["nerv"]["median_us"] / single["nats"]["median_us"], 2),
            "nerv_single_p99_to_median": round(single["nerv"]["p99_us"] / single["nerv"]["median_us"], 2),
        },
    }


async def events(endpoints: Endpoints, subscribers: int, seconds: float) -> dict[str, float]:
    """Events published per second while so many subscribers take every one of them."""
    publisher = Peer(endpoints, name="publisher")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    listeners = [Peer(endpoints, name=f"listener-{n}", context=context) for n in range(subscribers)]
    await publisher.open(START_SECONDS)
    for listener in listeners:
        await listener.open(START_SECONDS)
    subscriptions = [listener.subscribe("bench.", capacity=100_000) for listener in listeners]
    for subscription in subscriptions:
        await subscription.ready()
    published = 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        for _ in range(20):
            publisher.publish("bench.x", Beat(data=DATA))
            published += 1
        while _received(subscriptions) < published - 500:
            if time.perf_counter() - started > seconds + START_SECONDS:
                raise RuntimeError("events were lost")
            await asyncio.sleep(0)
        for subscription in subscriptions:
            while subscription.get_nowait() is not None:
                pass
    async with asyncio.timeout(START_SECONDS):
        while _received(subscriptions) < published:  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0.001)
    elapsed = time.perf_counter() - started
    missed = sum(subscription.statistics().missed for subscription in subscriptions)
    for peer in (publisher, *listeners):
        await peer.close()
    context.term()
    return {
        "published_per_second": round(published / elapsed),
        "delivered_per_second": round(published * subscribers / elapsed),
        "missed": missed,
    }


def _received(subscriptions: list[Subscription]) -> int:
    """By the slowest of them."""
    return min(subscription.statistics().received for subscription in subscriptions)


async def crowd(endpoints: Endpoints, broker: psutil.Process, count: int) -> dict[str, float]:
    """The broker's memory with so many peers connected."""
    before = broker.memory_info().rss
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 16 * count)
    sockets: list[zmq.Socket[bytes]] = []
    for number in range(count):
        peer = Peer(endpoints, name=PeerName(f"crowd-{number}"), context=context)
        frames = hello_of(peer)
        socket = context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(endpoints.commands)
        socket.send_multipart(frames)
        sockets.append(socket)
    for socket in sockets:
        if not await asyncio.to_thread(socket.poll, int(START_SECONDS * 1000)):
            raise RuntimeError("a peer of the crowd was not welcomed")
    after = broker.memory_info().rss
    for socket in sockets:
        socket.close()
    context.term()
    return {
        "peers": count,
        "before_mb": round(before / 2**20, 1),
        "after_mb": round(after / 2**20, 1),
        "kb_per_peer": round((after - before) / 1024 / count, 1),
    }


def hello_of(peer: Peer) -> tuple[bytes, bytes]:
    core = peer._core
    core.link_up(0.0)
    return next(iter(core.outgoing(0.0)))


async def measure(seconds: float, rounds: int, nats_server: str, nats_version: str) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="nb-"))
    try:
        async with nerv_bus(folder) as (endpoints, broker):
            return {
                "in_flight": IN_FLIGHT,
                "payload_bytes": len(_encode(Echo(data=DATA))),
                "seconds_per_round": seconds,
                "rounds": rounds,
                "nats_server": nats_version,
                "requests": await requests(folder, endpoints, seconds, rounds, nats_server),
                "events": {str(count): await events(endpoints, count, seconds) for count in (1, 10, 50)},
                "crowd": await crowd(endpoints, broker, 1000),
            }
    finally:
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement (default 2)")
    parser.add_argument("--rounds", type=int, default=5, help="medians are taken over so many (default 5)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    server = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")
    if server is None:
        parser.error("nats-server is not installed; on Debian: apt install nats-server")
    version = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(json.dumps(uvloop.run(measure(options.seconds, options.rounds, server, version)), indent=2))


if __name__ == "__main__":
    main()
