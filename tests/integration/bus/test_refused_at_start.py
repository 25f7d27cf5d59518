"""A bus that would be open to anybody does not start, and says which setting is the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import Cluster

SHIPPED = (Path(__file__).parents[3] / "supervisor.toml").read_text()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ('listen = "tcp://0.0.0.0:7201"\nplain_loopback = true', "actor.bus.settings.plain_loopback"),
        ('listen = "0.0.0.0:7201"', "actor.bus.settings.listen"),
        ('listen = "tcp://127.0.0.1:7201"\nplain_role = "king"', "actor.bus.settings.plain_role"),
        ("listne = 3", "actor.bus.settings"),
    ],
)
async def test_nerv_up_names_the_setting(nerv_home: Path, tmp_path: Path, settings: str, key: str) -> None:
    config = tmp_path / "supervisor.toml"
    config.write_text(SHIPPED.replace("[actor.bus.settings]", f"[actor.bus.settings]\n{settings}", 1))
    cluster = Cluster(home=nerv_home)
    ended = await cluster.nerv("up", "-d", "--config", str(config))
    assert ended.code == 2
    assert key in ended.err
    assert not cluster.processes()
