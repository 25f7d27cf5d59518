"""Starting a front end from a test: `async with frontend("gradio") as page: page.url, page.expected(prompt)`."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from drivers.playground import Pace, reply_for
from drivers.playground.prompt import digest
from tests.chat_uis.environments import APPS, cache_folder, names, prepare

QUICK = ("gradio", "chainlit", "deepchat", "deepchat_ws", "streamlit", "nicegui")
READY_SECONDS = 120.0
END_SECONDS = 5.0
LOOK_SECONDS = 0.1
_ROOT = Path(__file__).parents[2]
_LAB = Path(__file__).parent / "lab"
_QUIET = {  # nothing may leave the machine
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "SCARF_NO_ANALYTICS": "true",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    "MARIMO_SKIP_UPDATE_CHECK": "1",
    "OTEL_SDK_DISABLED": "true",
    "NO_PROXY": "*",
    "no_proxy": "*",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class FrontendFailed(Exception):
    """A front end did not start; the text carries the end of what it wrote."""


class Frontend:
    """A running front end. `url` ends in a slash."""

    def __init__(self, name: str, url: str, log: Path) -> None:
        self.name = name
        self.url = url
        self._log = log

    def expected(self, prompt: str) -> str:
        """The exact Markdown that the backend sends for `prompt`."""
        return reply_for(prompt)

    def received(self) -> Counter[str]:
        """How often the backend received each prompt, as it received them."""
        lines = self._log.read_text(encoding="utf-8").splitlines() if self._log.exists() else []
        records = [json.loads(line) for line in lines]
        return Counter(record["prompt"] for record in records if record["event"] == "prompt")

    def times_received(self, prompt: str) -> int:
        """How often `prompt` was received, whatever blanks or line ends the page changed on its way."""
        return sum(count for text, count in self.received().items() if digest(text) == digest(prompt))


@asynccontextmanager
async def frontend(name: str, *, port: int = 0, pace: Pace | None = None) -> AsyncIterator[Frontend]:
    """Start the front end `name` on loopback (port 0: a free one); at the end nothing of it is left.

    The first use installs its packages. Raises `InstallFailed` or `FrontendFailed`, never skips.
    """
    environment = await asyncio.to_thread(prepare, name)
    port = port or _free_port()
    # Under the cache and not under the temporary directory: some of these leave caches of their own there.
    works = cache_folder() / "work"
    works.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=works))
    output, log = work / "output.txt", work / "received.jsonl"
    with output.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            str(environment.python),
            str(APPS / name / "app.py"),
            str(port),
            cwd=work,
            env=_variables(environment.python, environment.node, work, log, pace),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sink,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}/"
        await _answering(process, name, url, output)
        yield Frontend(name, url, log)
    finally:
        await _end(process)
        shutil.rmtree(work, ignore_errors=True)


def _variables(python: Path, node: Path | None, work: Path, log: Path, pace: Pace | None) -> dict[str, str]:
    # Some frameworks change their ways when they see that pytest is around.
    around = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    variables = {**around, **_QUIET, "HOME": str(work), "TMPDIR": str(work), "PYTHONPATH": str(_LAB)}
    variables |= {"NERV_LAB_LOG": str(log), "PATH": f"{python.parent}:{os.environ.get('PATH', os.defpath)}"}
    variables["XDG_CACHE_HOME"] = variables["XDG_CONFIG_HOME"] = str(work)
    if node is not None:
        variables["NERV_LAB_NODE"] = str(node)
    if pace is not None:
        variables |= {"NERV_LAB_CHUNKS": str(pace.chunks), "NERV_LAB_SECONDS": str(pace.seconds)}
        variables |= {"NERV_LAB_PAUSE": str(pace.pause), "NERV_LAB_SLOW": str(pace.slow)}
    return variables


async def _answering(process: asyncio.subprocess.Process, name: str, url: str, output: Path) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS), httpx.AsyncClient(trust_env=False, timeout=5) as client:
            while process.returncode is None:
                try:
                    if (await client.get(url)).status_code == 200:
                        return
                except httpx.TransportError:
                    pass  # not listening yet
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        pass  # told below, with what it wrote
    wrote = (await asyncio.to_thread(output.read_text, errors="replace"))[-3000:]
    state = (
        "did not answer in time" if process.returncode is None else f"ended with code {process.returncode}"
    )
    raise FrontendFailed(f"{name} {state}; it wrote:\n{wrote}")


async def _end(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            await asyncio.wait_for(process.wait(), END_SECONDS)
        except TimeoutError:
            continue
    await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


__all__ = ("QUICK", "Frontend", "FrontendFailed", "frontend", "names")

if __name__ == "__main__":
    sys.exit("use: python -m tests.chat_uis NAME PORT")
