"""Chat front ends that others wrote: `nerv provider add URL`, then `nerv ask` answers exactly what the backend sent."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.playground import Pace, launch, reply_for
from tests.chat_uis.frontends import QUICK, Frontend, frontend
from tests.cluster import Cluster

pytestmark = [pytest.mark.browser]

PACE = Pace(chunks=30, seconds=1.0, pause=2.0)
PROMPTS = (
    "What is an actor?",
    "short and sweet",
    "code of a queue",
    "unicode please",
    "pause, then answer",
    "two lines\nof a prompt",
)


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    """One cluster for all pages of this module."""
    home = Path(tempfile.mkdtemp(prefix="nv-"))
    up = Cluster(home=home)
    asyncio.run(up.check("up", "-d"))
    try:
        yield up
    finally:
        asyncio.run(up.check("down"))
        shutil.rmtree(home)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", QUICK)
async def test_a_front_end_answers_with_the_markdown_its_backend_sent(running: Cluster, name: str) -> None:
    async with frontend(name, pace=PACE) as page:
        await running.check("provider", "add", page.url, "--name", name)
        wrong = [text for prompt in PROMPTS if (text := await _ask(running, page, prompt))]
        assert not wrong, "\n".join(wrong)


async def _ask(running: Cluster, page: Frontend, prompt: str) -> str | None:
    """What is wrong with the answer to ``prompt``, or None."""
    ended = await running.nerv("ask", page.name, prompt, "--timeout", "60")
    if ended.code:
        return f"{prompt!r} ended with {ended.code}: {ended.err.strip()}"
    expected = page.expected(prompt)
    if ended.out != (expected if expected.endswith("\n") else expected + "\n"):
        return f"{prompt!r} was answered with another text:\n{ended.out}"
    if page.times_received(prompt) != 1:
        return f"{prompt!r} was received {page.times_received(prompt)} times"
    return None


@pytest.mark.parametrize(
    "variant", ["", "?via=eventsource", "?via=ws", "?via=chunked", "?via=ndjson", "?via=poll"]
)
async def test_the_playground_answers_over_each_transport(running: Cluster, variant: str) -> None:
    await _playground(running, variant)


@pytest.mark.parametrize("variant", ["?ui=contenteditable", "?ui=shadow", "?ui=iframe"])
async def test_the_playground_answers_in_each_kind_of_page(running: Cluster, variant: str) -> None:
    await _playground(running, variant)


async def _playground(running: Cluster, variant: str) -> None:
    name = variant.partition("=")[2] or "plain"
    async with launch(pace=PACE) as playground:
        await running.check(
            "provider", "add", playground.url + variant, "--name", f"playground-{name}", "--replace"
        )
        for prompt in PROMPTS:
            out = await running.check("ask", f"playground-{name}", prompt, "--timeout", "60")
            assert out.rstrip("\n") == reply_for(prompt).rstrip("\n"), prompt
        received = (await playground.stats()).received
        assert set(received.values()) == {1}, received
