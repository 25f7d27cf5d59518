"""The commands that README and docs show are run, and the Python they show works."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from actors.telemetry import TelemetrySettings
from drivers.playground import Pace, launch
from nerv.bus.server import BusSettings
from nerv.settings import decode_settings
from tests.cluster import Cluster, cluster

ROOT = Path(__file__).parents[3]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
EXAMPLE_ADDRESS = "http://127.0.0.1:8080/"
EXAMPLE_PROVIDER = "mychat"

SEEN_ELSEWHERE = frozenset({"up", "down", "top", "demo"})
"""Commands that own a terminal or the cluster itself: their options are checked here, their work in other tests."""


def _blocks(language: str) -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for found in re.finditer(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
            yield page, found.group(1)


def _commands() -> list[tuple[Path, list[str]]]:
    """Each `nerv` and `make` line of the documentation, without comments and continuation marks."""
    found = []
    for page, block in _blocks("sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] in ("nerv", "make"):
                found.append((page, words))
    return found


def test_the_pages_show_commands() -> None:
    assert len(_commands()) > 10


def test_each_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page, words in _commands():
        if words[0] == "make":
            for target in words[1:]:
                assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), (
                    f"{page.name}: make {target}"
                )


def test_the_settings_shown_are_those_that_actors_take() -> None:
    kinds: dict[str, type[msgspec.Struct]] = {"bus": BusSettings, "telemetry": TelemetrySettings}
    shown = [
        (actor, table["settings"])
        for page, block in _blocks("toml")
        if page.name == "operations.md"
        for actor, table in tomllib.loads(block)["actor"].items()
    ]
    assert len(shown) > 2
    for actor, settings in shown:
        decode_settings(settings, kinds[actor], actor=actor)


@pytest.mark.browser
@pytest.mark.timeout(300)
async def test_each_nerv_command_of_the_documentation_works(nerv_home: Path) -> None:
    async with launch(pace=Pace(chunks=10, seconds=0.3)) as playground, cluster(nerv_home) as running:
        await running.check("provider", "add", playground.url, "--name", EXAMPLE_PROVIDER)
        example = (await running.check("ask", EXAMPLE_PROVIDER, "an example", "--no-wait")).strip()
        await running.check("send", "task.get", f'{{"id": "{example}"}}')
        problems = []
        for page, words in _commands():
            if words[0] != "nerv":
                continue
            wrong = await _try(running, _filled(words[1:], address=playground.url, task=example))
            if wrong:
                problems.append(f"{page.name}: {shlex.join(words)}\n    {wrong}")
        assert not problems, "\n".join(problems)


@pytest.mark.browser
@pytest.mark.timeout(120)
async def test_the_python_of_the_documentation_works(nerv_home: Path) -> None:
    async with launch(pace=Pace(chunks=10, seconds=0.3)) as playground, cluster(nerv_home) as running:
        await running.check("provider", "add", playground.url, "--name", EXAMPLE_PROVIDER)
        for page, block in _blocks("python"):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                block,
                env={**os.environ, "NERV_HOME": str(nerv_home)},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            async with asyncio.timeout(60):
                _, err = await process.communicate()
            assert process.returncode == 0, f"{page.name}:\n{block}\n{err.decode()}"


def _filled(words: list[str], *, address: str, task: str) -> list[str]:
    """The placeholders of the documentation, replaced by what there is in the test."""
    return [{"ID": task, EXAMPLE_ADDRESS: address}.get(word, word) for word in words]


async def _try(running: Cluster, words: list[str]) -> str | None:
    """What is wrong with the command, or None."""
    if words and words[0] in SEEN_ELSEWHERE:
        help_text = (await running.nerv(words[0], "--help")).out
        unknown = [word for word in words[1:] if word.startswith("-") and word not in help_text]
        return f"options that do not exist: {unknown}" if unknown else None
    if words[:2] == ["provider", "add"]:
        words = [*words, "--replace"]
    ended = await running.nerv(*words)
    return None if ended.code == 0 else f"ended with {ended.code}: {ended.err.strip()}"
