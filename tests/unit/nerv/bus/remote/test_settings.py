"""Where the bus may listen."""

from __future__ import annotations

from pathlib import Path

import pytest

from nerv.bus.remote.keys import KeyRing, read_client_key, write_client_key
from nerv.bus.remote.settings import listen_at
from nerv.bus.server import BusSettings, door_of
from nerv.bus.vocabulary import Role
from nerv.errors import ConfigurationError, ErrorCode, NervError
from nerv.instance import Instance


@pytest.mark.parametrize(
    "address", ["tcp://0.0.0.0:7201", "tcp://*:7201", "tcp://192.168.1.5:7201", "tcp://[::]:7201"]
)
def test_beyond_loopback_nothing_goes_plain(address: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        listen_at(address, plain_loopback=True, plain_role=Role.VIEWER)
    assert refused.value.info.field == "actor.bus.settings.plain_loopback"
    assert listen_at(address, plain_loopback=False, plain_role=Role.VIEWER).plain_role is None


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:7201", "tcp://127.3.4.5:7201", "tcp://[::1]:7201"])
def test_loopback_may_be_plain_when_the_configuration_says_so(address: str) -> None:
    assert listen_at(address, plain_loopback=True, plain_role=Role.VIEWER).plain_role is Role.VIEWER
    assert listen_at(address, plain_loopback=False, plain_role=Role.VIEWER).plain_role is None


def test_three_ports_follow_each_other() -> None:
    endpoints = listen_at("tcp://127.0.0.1:7201", plain_loopback=True, plain_role=Role.VIEWER).endpoints
    assert (endpoints.commands, endpoints.events_in, endpoints.events_out) == tuple(
        f"tcp://127.0.0.1:{port}" for port in (7201, 7202, 7203)
    )


@pytest.mark.parametrize(
    "address",
    [
        "7201",
        "ipc:///tmp/x",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:65535",
        "tcp://host:7201",
        "",
    ],
)
def test_an_address_that_is_none_names_its_setting(address: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        listen_at(address, plain_loopback=False, plain_role=Role.VIEWER)
    assert refused.value.info.field == "actor.bus.settings.listen"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (BusSettings(plain_loopback=True), "plain_loopback"),
        (BusSettings(listen="tcp://0.0.0.0:7201", plain_loopback=True), "plain_loopback"),
        (BusSettings(listen="tcp://127.0.0.1:7201", vocabulary=("no_such_module",)), "vocabulary"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(
    settings: BusSettings, field: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        door_of(settings, Instance.locate(environ={"NERV_HOME": str(tmp_path)}))
    assert refused.value.info.field == f"actor.bus.settings.{field}"


def test_without_listen_there_is_no_door(tmp_path: Path) -> None:
    assert door_of(BusSettings(), Instance.locate(environ={"NERV_HOME": str(tmp_path)})) is None


@pytest.mark.parametrize("name", ["", "loopback", "a.b", "A", "-a", "x" * 32, "../x"])
def test_a_name_that_could_be_taken_for_something_else_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(NervError) as refused:
        KeyRing(tmp_path).add(name, "viewer", 0.0)
    assert refused.value.info.field == "name"


def test_a_key_is_made_once_and_gone_once(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "keys")
    first = ring.add("ann", "viewer", 1.0)
    with pytest.raises(NervError) as twice:
        ring.add("ann", "admin", 2.0)
    assert twice.value.code is ErrorCode.CONFLICT
    assert ring.known()["ann"].public == first.public
    assert ring.add("bob", "admin", 3.0).server == first.server == ring.server().public
    ring.revoke("ann")
    assert set(ring.known()) == {"bob"}
    with pytest.raises(NervError) as gone:
        ring.revoke("ann")
    assert gone.value.code is ErrorCode.NOT_FOUND


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ann.key"
    write_client_key(path, KeyRing(tmp_path / "keys").add("ann", "viewer", 1.0))
    assert read_client_key(path).name == "ann"
    with pytest.raises(NervError):
        write_client_key(path, read_client_key(path))
    path.chmod(0o644)
    with pytest.raises(ConfigurationError) as refused:
        read_client_key(path)
    assert "chmod 600" in str(refused.value)


def test_a_list_of_keys_that_does_not_decode_says_where(tmp_path: Path) -> None:
    (tmp_path / "clients.json").write_text('{"ann": {"public": "x", "role": "king", "created_at": 1}}')
    with pytest.raises(ConfigurationError) as refused:
        KeyRing(tmp_path).known()
    assert "clients.json" in str(refused.value)
    assert "role" in str(refused.value)
