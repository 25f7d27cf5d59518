"""The client of examples/node, written from docs/protocol.md alone, against a real cluster: the document is enough."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from platformdirs import user_cache_path

from drivers.playground import Pace, launch, reply_for
from tests.chaos.workload import PROVIDER, added_playground
from tests.cluster import Cluster, cluster, until
from tests.integration.bus.ports import free_port

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "node"
INSTALL_SECONDS = 300
SLOW = Pace(seconds=4.0)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="needs Node.js and npm"),
]


@pytest.fixture(scope="module")
def packages() -> Path:
    """node_modules of the example, installed on first use and then kept."""
    manifest = (EXAMPLE / "package.json").read_bytes()
    folder = user_cache_path("nerv") / "examples" / f"node-{hashlib.sha256(manifest).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            (folder / "package.json").write_bytes(manifest)
            quiet = ["--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts"]
            subprocess.run(["npm", "install", *quiet], cwd=folder, check=True, timeout=INSTALL_SECONDS)
            (folder / "complete").touch()
    return folder / "node_modules"


@dataclass(kw_only=True)
class Asking:
    """A running `node ask.js`: what it tells on stderr, as it comes."""

    process: asyncio.subprocess.Process
    told: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""

    async def read(self) -> None:
        assert self.process.stderr is not None
        assert self.process.stdout is not None
        async for line in self.process.stderr:
            self.told.append(json.loads(line) if line.startswith(b"{") else {"what": line.decode()})
        self.text = (await self.process.stdout.read()).decode()
        await self.process.wait()

    def heard(self, what: str) -> dict[str, Any] | None:
        return next((line for line in self.told if line["what"] == what), None)


@contextlib.asynccontextmanager
async def asking(folder: Path, prompt: str, **environ: str) -> AsyncIterator[Asking]:
    process = await asyncio.create_subprocess_exec(
        "node",
        str(folder / "ask.js"),
        PROVIDER,
        prompt,
        env={**os.environ, **environ},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    running = Asking(process=process)
    try:
        async with asyncio.timeout(90), asyncio.TaskGroup() as group:
            reading = group.create_task(running.read())
            yield running
            await reading
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.timeout(240)
async def test_a_client_in_another_language_submits_streams_and_outlives_the_broker(
    packages: Path, nerv_home: Path, tmp_path: Path
) -> None:
    for source in EXAMPLE.iterdir():
        if source.is_file():
            shutil.copy(source, tmp_path)
    (tmp_path / "node_modules").symlink_to(packages)
    port = free_port()
    config = tmp_path / "supervisor.toml"
    shipped = (ROOT / "supervisor.toml").read_text()
    config.write_text(
        shipped.replace("[actor.bus.settings]", f'[actor.bus.settings]\nlisten = "tcp://127.0.0.1:{port}"', 1)
    )
    async with (
        launch(pace=SLOW) as playground,
        cluster(nerv_home, config=config) as running,
        added_playground(running, playground),
    ):
        await _over_ipc_while_the_broker_dies(running, tmp_path)
        await _over_tcp_as_its_role_allows(running, tmp_path, port)


async def _over_ipc_while_the_broker_dies(running: Cluster, folder: Path) -> None:
    prompt = "from node, over ipc"
    async with asking(folder, prompt, NERV_RUNTIME=str(running.instance.runtime)) as node:
        await until("the reply streams", lambda: node.heard("streaming"))
        pid = (await running.actor("bus")).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    assert node.process.returncode == 0, node.told
    order = [line["what"] for line in node.told]
    assert order == ["acknowledged", "accepted", "streaming", "ended"]
    assert node.text == reply_for(prompt)
    ended = node.heard("ended") or {}
    assert ended["state"] == "DONE"
    assert ended["whole"], "the deltas do not make the text"
    assert ended["deltas"] > 1
    assert ended["welcomes"] == 2


async def _over_tcp_as_its_role_allows(running: Cluster, folder: Path, port: int) -> None:
    submitter, viewer = folder / "ann.key", folder / "bob.key"
    await running.check("key", "new", "ann", "--role", "submitter", "--out", str(submitter))
    await running.check("key", "new", "bob", "--role", "viewer", "--out", str(viewer))
    bus = f"tcp://127.0.0.1:{port}"
    prompt = "from node, over tcp"
    async with asking(folder, prompt, NERV_BUS=bus, NERV_KEY_FILE=str(submitter)) as node:
        pass
    assert node.process.returncode == 0, node.told
    assert node.text == reply_for(prompt)
    async with asking(folder, prompt, NERV_BUS=bus, NERV_KEY_FILE=str(viewer)) as node:
        pass
    assert node.process.returncode == 1
    failed = node.heard("failed")
    assert failed is not None
    assert (failed["code"], failed["field"]) == ("forbidden", "type")

    status = ("--bus", bus, "--key", str(viewer), "status", "--json")
    assert json.loads(await running.check(*status))["actors"]
    refused = await running.nerv("--bus", bus, "--key", str(viewer), "actor", "restart", "kernel")
    assert refused.code == 1
    assert "forbidden" in refused.err
    assert [
        json.loads(line)["name"] for line in (await running.check("key", "ls", "--json")).splitlines()
    ] == [
        "ann",
        "bob",
    ]
    await running.check("key", "revoke", "bob")
    assert (await running.nerv(*status)).code == 3
    secrets = [json.loads(path.read_text())["secret"] for path in (submitter, viewer)]
    written = "".join(path.read_text(errors="replace") for path in running.instance.logs.iterdir())
    assert not [secret for secret in secrets if secret in written]
