"""The bus over TCP: who gets in, who may send and see what, and what happens to those who may not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from nerv.bus import bundle as bundles
from nerv.bus.broker_socket import Broker
from nerv.bus.endpoints import Endpoints
from nerv.bus.envelope import BROKER, Envelope, EnvelopeId, Kind, PeerName
from nerv.bus.handlers import Context, collect, handles
from nerv.bus.limits import DEFAULT_LIMITS
from nerv.bus.link import Hello
from nerv.bus.messages import BusStatus, BusView, DeadLetterList, DeadLetterPage
from nerv.bus.peer_socket import Peer
from nerv.bus.remote.audit import Audit, AuditRecord
from nerv.bus.remote.door import Door
from nerv.bus.remote.keys import ClientKey, KeyRing, RoleName, write_client_key
from nerv.bus.remote.settings import listen_at
from nerv.bus.vocabulary import Command, Role
from nerv.client import Client
from nerv.errors import Disconnected, ErrorCode, NervError, RemoteError
from nerv.messages import (
    ActorRestart,
    ClusterStatus,
    LogLine,
    Ok,
    SupervisorStatus,
    SupervisorStop,
    Tick,
)
from nerv.sync import SyncClient
from tests.cluster import until
from tests.integration.bus.ports import free_port

ROLES: tuple[RoleName, ...] = ("viewer", "submitter", "operator", "admin")


class Supervisor:
    """Stands for the supervisor; notes what reached it."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    @handles(SupervisorStatus)
    def status(self, _: SupervisorStatus, context: Context) -> ClusterStatus:
        self.reached.append(context.source)
        return ClusterStatus(instance="x", version="0", supervisor_pid=1, started_at=0.0, actors=())

    @handles(ActorRestart)
    def restart(self, message: ActorRestart, _: Context) -> Ok:
        self.reached.append(message.name)
        return Ok()

    @handles(SupervisorStop)
    def stop(self, _: SupervisorStop, __: Context) -> Ok:
        self.reached.append("stop")
        return Ok()


@dataclass(kw_only=True)
class Remote:
    """A broker with a door, in this loop."""

    folder: Path
    address: str
    keys: KeyRing
    broker: Broker
    supervisor: Supervisor
    inside: Peer

    def key(self, name: str, role: RoleName) -> Path:
        path = self.folder / f"{name}.key"
        write_client_key(path, self.keys.add(name, role, time.time()))
        return path

    def client(self, key_file: Path | None, name: str | None = None, *, timeout: float = 5.0) -> Client:
        return Client(endpoints=self.address, key_file=key_file, name=name, connect_timeout=timeout)

    def audit(self) -> list[AuditRecord]:
        lines = (self.folder / "logs" / "audit.jsonl").read_bytes().splitlines()
        return [msgspec.json.decode(line, type=AuditRecord) for line in lines]


@contextlib.asynccontextmanager
async def remote_bus(*, plain_role: Role | None = None, address: str = "") -> AsyncIterator[Remote]:
    folder = Path(tempfile.mkdtemp(prefix="nv-"))
    address = address or f"tcp://127.0.0.1:{free_port()}"
    keys = KeyRing(folder / "keys")
    local = Endpoints.of_directory(folder / "bus.sock", folder / "pub.sock", folder / "sub.sock")
    listen = listen_at(address, plain_loopback=plain_role is not None, plain_role=plain_role or Role.VIEWER)
    broker = Broker(
        local,
        door=Door(listen, keys=keys, audit=Audit(folder / "logs" / "audit.jsonl"), limits=DEFAULT_LIMITS),
    )
    supervisor = Supervisor()
    inside = Peer(local, name="supervisor", kind="supervisor", handlers=collect(supervisor))
    try:
        broker.open()
        await inside.open(5.0)
        yield Remote(
            folder=folder,
            address=address,
            keys=keys,
            broker=broker,
            supervisor=supervisor,
            inside=inside,
        )
    finally:
        await inside.close()
        await broker.close()
        shutil.rmtree(folder)


@pytest.fixture
async def remote() -> AsyncIterator[Remote]:
    async with remote_bus() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NERV_BUS", raising=False)
    monkeypatch.delenv("NERV_KEY_FILE", raising=False)


COMMANDS: tuple[tuple[Command[Any], str, Role], ...] = (
    (SupervisorStatus(), "supervisor", Role.VIEWER),
    (BusStatus(), "bus", Role.VIEWER),
    (DeadLetterList(), "bus", Role.OPERATOR),
    (ActorRestart(name="x"), "supervisor", Role.OPERATOR),
    (SupervisorStop(), "supervisor", Role.ADMIN),
)


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_may_send_what_its_rank_allows_and_nothing_else(remote: Remote, role: RoleName) -> None:
    async with remote.client(remote.key("ann", role)) as client:
        assert client.name.startswith("ann.")
        for message, target, needed in COMMANDS:
            if Role[role.upper()] >= needed:
                await client.request(target, message, timeout=5.0)
                continue
            with pytest.raises(RemoteError) as refused:
                await client.request(target, message, timeout=5.0)
            assert refused.value.code is ErrorCode.FORBIDDEN
            assert refused.value.info.field == "type"
            assert refused.value.info.fix
        assert client.connected
    forbidden = [record for record in remote.audit() if record.what == "command"] if role != "admin" else []
    assert len(forbidden) == sum(Role[role.upper()] < needed for _, _, needed in COMMANDS)
    assert all(record.key == "ann" and record.role == role and record.id for record in forbidden)
    assert ("stop" in remote.supervisor.reached) == (role == "admin")


EVENTS: tuple[tuple[str, Role], ...] = (
    ("tick.", Role.VIEWER),
    ("peer.supervisor", Role.VIEWER),
    ("log.", Role.OPERATOR),
    ("tap.", Role.OPERATOR),
    ("nonsense.", Role.ADMIN),
)


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_may_see_the_events_its_rank_allows(remote: Remote, role: RoleName) -> None:
    async with remote.client(remote.key("ann", role)) as client:
        for topic, needed in EVENTS:
            if Role[role.upper()] >= needed:
                async with client.subscribe(topic):
                    pass
                continue
            with pytest.raises(RemoteError) as refused:
                await client.subscribe(topic).ready()
            assert refused.value.code is ErrorCode.FORBIDDEN
            assert topic in refused.value.info.reason
    recorded = [record.subject for record in remote.audit() if record.what == "subscribe"]
    assert recorded == [topic for topic, needed in EVENTS if Role[role.upper()] < needed]


async def test_a_viewer_who_asks_for_everything_gets_what_it_may_see(remote: Remote) -> None:
    tick = Tick(actor="supervisor", incarnation="1", pid=1, at=0.0)
    line = LogLine(actor="supervisor", at=0.0, level="error", event="secret")
    async with remote.client(remote.key("ann", "viewer")) as client, client.subscribe("") as events:
        for _ in range(3):
            remote.inside.publish("log.supervisor", line)
            remote.inside.publish("tick.supervisor", tick)
        got = [event async for event in _take(events, 3, "tick.")]
        assert got == ["tick.supervisor"] * 3
        assert all(event.message != line for event in _rest(events))


async def _take(events, count: int, prefix: str):  # type: ignore[no-untyped-def]
    async with asyncio.timeout(5):
        async for event in events:
            assert not event.topic.startswith("log.")
            if event.topic.startswith(prefix):
                yield event.topic
                count -= 1
                if not count:
                    return


def _rest(events) -> Iterator:  # type: ignore[no-untyped-def,type-arg]
    while (event := events.get_nowait()) is not None:
        yield event


async def test_only_an_admin_may_publish(remote: Remote) -> None:
    tick = Tick(actor="supervisor", incarnation="forged", pid=1, at=0.0)
    async with (
        remote.client(remote.key("ann", "operator")) as operator,
        remote.client(remote.key("bob", "admin")) as admin,
        remote.inside.subscribe("tick.") as events,
    ):
        operator.publish("tick.forged", tick)
        await until("it is on record", lambda: [r for r in remote.audit() if r.what == "publish"], seconds=5)
        admin.publish("tick.real", tick)
        async with asyncio.timeout(5):
            assert (await anext(events)).topic == "tick.real"


async def test_a_revoked_key_is_cut_off_within_a_second_and_others_go_on(remote: Remote) -> None:
    ann, bob = remote.key("ann", "viewer"), remote.key("bob", "viewer")
    async with remote.client(ann) as gone, remote.client(bob) as stays:
        await gone.request("supervisor", SupervisorStatus())
        remote.keys.revoke("ann")
        await until("it is told", gone.peer.fenced.is_set, seconds=1.0)
        with pytest.raises(NervError) as refused:
            await gone.request("supervisor", SupervisorStatus(), timeout=5.0)
        assert refused.value.code is ErrorCode.FORBIDDEN
        assert isinstance(await stays.request("supervisor", SupervisorStatus(), timeout=5.0), ClusterStatus)
        names = {link.name for link in remote.broker.core.links()}
        assert not [name for name in names if name.startswith("ann.")]
    with pytest.raises(Disconnected) as again:
        async with remote.client(ann, timeout=5.0):
            pass
    assert again.value.code is ErrorCode.FORBIDDEN


async def test_requests_outlive_the_bounce_that_a_revocation_costs_the_others(remote: Remote) -> None:
    remote.key("ann", "viewer")
    async with remote.client(remote.key("bob", "viewer")) as client:
        work = [asyncio.create_task(_ask_often(client, 100)) for _ in range(3)]
        await until("they are at it", lambda: len(remote.supervisor.reached) > 20, seconds=5)
        remote.keys.revoke("ann")
        await asyncio.gather(*work)


async def _ask_often(client: Client, times: int) -> None:
    for _ in range(times):
        await client.request("supervisor", SupervisorStatus(), timeout=10.0)
        await asyncio.sleep(0.005)


async def test_a_key_that_nobody_made_is_refused_and_recorded(remote: Remote) -> None:
    public, secret = (half.decode() for half in zmq.curve_keypair())
    forged = ClientKey(
        name="ann", role="admin", public=public, secret=secret, server=remote.keys.server().public
    )
    path = remote.folder / "forged.key"
    write_client_key(path, forged)
    with pytest.raises(Disconnected) as refused:
        async with remote.client(path):
            pass
    assert refused.value.code is ErrorCode.FORBIDDEN
    assert "connect" in {record.what for record in remote.audit()}


async def test_a_plain_client_does_not_get_in_where_keys_are_asked_for(remote: Remote) -> None:
    with pytest.raises(Disconnected) as refused:
        async with remote.client(None, timeout=1.0):
            pass
    assert refused.value.info.field == "key_file"
    assert {link.name for link in remote.broker.core.links()} == {"supervisor"}


async def test_nobody_outside_can_take_the_name_of_an_actor_or_of_another_key(remote: Remote) -> None:
    key = remote.key("ann", "operator")
    for name in ("supervisor", "queue", "bob.client", "ann", "ann."):
        with pytest.raises(NervError) as refused:
            async with remote.client(key, name, timeout=3.0):
                pass
        assert refused.value.code is ErrorCode.FORBIDDEN
        assert refused.value.info.field == "name"
    await remote.inside.request("bus", BusStatus())
    assert not remote.inside.fenced.is_set()
    assert [(record.key, record.code) for record in remote.audit() if record.what == "name"] == [
        ("ann", "forbidden")
    ] * 5


async def test_plain_loopback_gives_its_role_and_no_more() -> None:
    async with remote_bus(plain_role=Role.SUBMITTER) as remote, remote.client(None) as client:
        assert client.name.startswith("loopback.")
        assert isinstance(await client.request("bus", BusStatus()), BusView)
        with pytest.raises(RemoteError) as refused:
            await client.request("supervisor", ActorRestart(name="x"))
        assert refused.value.code is ErrorCode.FORBIDDEN


async def test_a_tap_from_outside_works_for_operators_and_ends_with_them(remote: Remote) -> None:
    async with remote.client(remote.key("ann", "operator")) as client, client.subscribe("tap.") as events:
        assert remote.broker.core.tapping
        await client.request("supervisor", SupervisorStatus())
        async with asyncio.timeout(5):
            assert (await anext(events)).topic == "tap.supervisor.status"
    await until("nobody watches", lambda: not remote.broker.core.tapping, seconds=5)


async def test_the_environment_says_where_the_bus_is_and_a_program_without_a_loop_gets_there(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NERV_BUS", remote.address)
    monkeypatch.setenv("NERV_KEY_FILE", str(remote.key("ann", "viewer")))

    def ask() -> ClusterStatus:
        with SyncClient() as client:
            return client.request("supervisor", SupervisorStatus(), timeout=5.0)

    assert isinstance(await asyncio.to_thread(ask), ClusterStatus)
    assert remote.supervisor.reached[-1].startswith("ann.")


async def test_local_peers_are_not_asked_for_anything(remote: Remote) -> None:
    assert isinstance(await remote.inside.request("bus", DeadLetterList()), DeadLetterPage)


async def test_no_secret_reaches_a_log_or_a_message(remote: Remote, caplog: pytest.LogCaptureFixture) -> None:
    path = remote.key("ann", "viewer")
    key = msgspec.json.decode(path.read_bytes(), type=ClientKey)
    async with remote.client(path) as client:
        with pytest.raises(RemoteError) as refused:
            await client.request("supervisor", SupervisorStop())
        told = (
            f"{refused.value} {client.peer.endpoints} {key!r} {remote.keys.server()!r} {client.peer._curve!r}"
        )
    secrets = (key.secret, remote.keys.server().secret)
    records = (remote.folder / "logs" / "audit.jsonl").read_text() + caplog.text + told
    assert not [secret for secret in secrets if secret in records]
    assert key.secret not in (remote.keys.folder / "clients.json").read_text()
    for file in (path, remote.keys.folder / "server.json", remote.keys.folder / "clients.json"):
        assert os.stat(file).st_mode & 0o777 == 0o600


async def test_a_peer_that_changes_its_name_gives_the_old_one_back(remote: Remote) -> None:
    """Or one connection could take names until the broker has no memory left."""
    core, identity = remote.broker.core, b"somebody"
    for number in range(3):
        hello = Hello(name=f"ann.{number}", incarnation="i", started_at=1.0, credit=0)
        envelope = Envelope(
            id=EnvelopeId(f"i-{number}"),
            kind=Kind.HELLO,
            type="link.hello",
            source=PeerName(hello.name),
            target=BROKER,
            payload=msgspec.Raw(msgspec.msgpack.encode(hello)),
        )
        core.receive(identity, b"", bundles.encode([envelope]), time.monotonic())
    assert [box.name for box in core.boxes() if box.holder and box.name.startswith("ann")] == ["ann.2"]


async def test_a_port_that_another_program_has_does_not_keep_the_local_bus_from_starting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        async with remote_bus(plain_role=Role.VIEWER, address=f"tcp://127.0.0.1:{port}") as remote:
            assert isinstance(await remote.inside.request("bus", BusStatus()), BusView)
            await until("it is told", lambda: "cannot listen" in caplog.text, seconds=10)
            other.close()
            async with remote.client(None, timeout=10.0) as client:
                assert isinstance(await client.request("bus", BusStatus()), BusView)
