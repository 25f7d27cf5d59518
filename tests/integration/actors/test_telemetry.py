"""Telemetry: what Prometheus reads, and a port that somebody else has."""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from actors.telemetry import Endpoint, endpoint_file
from kernel import work
from kernel.messages import TaskSubmit
from nerv.errors import ConfigurationError
from nerv.instance import Instance
from tests.integration.actors.cell import Cell, Page, until


@pytest.fixture
async def bus(nerv_home: Path) -> AsyncIterator[Cell]:
    async with Cell(nerv_home) as running:
        await running.start("bus")
        yield running


async def endpoint(instance: Instance) -> Endpoint | None:
    path = endpoint_file(instance)
    return msgspec.json.decode(path.read_bytes(), type=Endpoint) if path.exists() else None


def read(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


async def test_a_task_and_its_actors_show_in_the_metrics(cell: Cell) -> None:
    await cell.start("telemetry", port=0)
    found = await until(lambda: endpoint(cell.instance), "the port")
    async with Page(cell.instance), cell.client() as client:
        accepted = await work.submit(client, TaskSubmit(provider="alpha", prompt="x"))
        async with asyncio.timeout(20):
            [step async for step in work.follow(client, accepted.id, poll=0.5)]
        wanted = (
            'nerv_tasks_ended_total{outcome="DONE",provider="alpha"} 1.0',
            'nerv_attempts_total{provider="alpha"} 1.0',
            'nerv_reply_seconds_count{provider="alpha"} 1.0',
            'nerv_tasks{actor="queue",state="DONE"} 1.0',
            'nerv_actor_loop_lag_seconds{actor="kernel"}',
            'nerv_bus_peers{actor="bus"}',
        )

        async def all_shown() -> bool:
            text = await asyncio.to_thread(read, found.port)
            return all(line in text for line in wanted)

        await until(all_shown, f"all of {wanted}")
    await cell.stop("telemetry")
    assert await endpoint(cell.instance) is None


async def test_a_port_that_is_taken_is_named_and_tried_again(
    bus: Cell, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.telemetry.BIND_PAUSE", 0.05)
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        await bus.start("telemetry", port=port)

        async def told() -> bool:
            return any("metrics not shown" in record.getMessage() for record in caplog.records)

        await until(told, "a warning")
        assert await endpoint(bus.instance) is None
    found = await until(lambda: endpoint(bus.instance), "the port, once it is free")
    assert found.port == port


@pytest.mark.parametrize("settings", [{"port": -1}, {"port": 70_000}, {"port": "x"}, {"prot": 1}])
async def test_wrong_settings_name_their_key(bus: Cell, settings: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await bus.start("telemetry", **settings)
    assert caught.value.info.field == f"actor.telemetry.settings.{next(iter(settings))}"
