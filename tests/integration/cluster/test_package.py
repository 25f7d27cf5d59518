"""What `pip install` gives: the built package in an environment of its own runs a cluster's client and its commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CLIENT = """
import asyncio, nerv
from kernel.messages import TaskSubmit
from kernel.work import follow, submit

async def main():
    try:
        async with nerv.Client(connect_timeout=0.1) as client:
            await submit(client, TaskSubmit(provider="p", prompt="x"))
    except nerv.Disconnected as error:
        print(error.info.fix)

asyncio.run(main())
"""


def run(*command: str | Path, cwd: Path, **environ: str) -> str:
    ended = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert ended.returncode == 0, f"{command}:\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.mark.timeout(300)
def test_the_package_alone_is_enough(tmp_path: Path, nerv_home: Path) -> None:
    uv = shutil.which("uv")
    assert uv, "uv is missing: `make test` brings it"
    run(uv, "build", "--quiet", "--wheel", "--out-dir", tmp_path, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    environment = tmp_path / "venv"
    run(uv, "venv", "--quiet", "--python", sys.executable, environment, cwd=tmp_path)
    python = environment / "bin" / "python"
    run(uv, "pip", "install", "--quiet", "--python", python, wheel, cwd=tmp_path)

    home = str(nerv_home)
    nerv = environment / "bin" / "nerv"
    assert "NERV" in run(nerv, "--help", cwd=tmp_path, NERV_HOME=home)
    assert "task.submit" in run(nerv, "messages", cwd=tmp_path, NERV_HOME=home)
    assert "nerv up" in run(python, "-c", CLIENT, cwd=tmp_path, NERV_HOME=home)
    packed = set(os.listdir(environment / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"))
    assert not packed & {"tests", "benchmarks", "shared"}
