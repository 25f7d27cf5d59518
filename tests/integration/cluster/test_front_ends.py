"""Chat front ends that others wrote: `nerv provider add URL`, then `nerv ask` answers exactly what the backend sent."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.playground import Pace, launch, reply_for
from tests.chat_uis.frontends import QUICK, frontend, names
from tests.cluster import Cluster
from tests.pages import trap_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

PACE = Pace(chunks=20, seconds=0.8, pause=2.0)
ONE_LINE = ("What is an actor?", "code of a queue", "unicode please")
PROMPTS = (*ONE_LINE, "two lines\nof a prompt")
WANTED = names() if os.environ.get("NERV_LAB_ALL") else QUICK
HTML_ONLY = {"nicegui": ONE_LINE, "panel": ONE_LINE[:2]}
"""With what they are asked. An `input` holds one line only; panel's own page loses text beside an emoji."""
LINE_INPUTS = frozenset({"dash", "eventsource", "mesop", "socketio", "webchat"})
"""An `input` holds one line only: these are asked in one line."""
EDITORS = ("tiptap", "quill", "lexical", "lexical_rich", "slate", "draft", "codemirror")
ADDRESSES = [name for name in WANTED if name not in HTML_ONLY and name != "editors"]
if "editors" in WANTED:
    ADDRESSES += [f"editors?editor={editor}" for editor in EDITORS]
PLAYGROUNDS = (
    "?via=eventsource",
    "?via=ws&ui=contenteditable",
    "?via=chunked&ui=shadow",
    "?via=ndjson&ui=iframe",
    "?via=poll",
)
"""Each transport once, each kind of page once."""


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


async def _ask_all(
    running: Cluster, provider: str, prompts: tuple[str, ...] = PROMPTS
) -> list[tuple[str, str]]:
    """All prompts at once, through both browsers; each prompt with its answer."""
    asking = (running.check("ask", provider, prompt, "--timeout", "120") for prompt in prompts)
    return list(zip(prompts, await asyncio.gather(*asking), strict=True))


def _words(markdown: str) -> list[str]:
    """The words of a text, without its marks and the names of code languages."""
    return re.findall(r"[^\W_]+", re.sub(r"```\w*", "", markdown))


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_front_end_answers_with_the_markdown_its_backend_sent(running: Cluster, address: str) -> None:
    name, _, query = address.partition("?")
    async with frontend(name, pace=PACE) as page:
        provider = re.sub(r"\W+", "-", address)
        await running.check("provider", "add", page.url + (f"?{query}" if query else ""), "--name", provider)
        for prompt, answer in await _ask_all(running, provider, ONE_LINE if name in LINE_INPUTS else PROMPTS):
            assert answer.rstrip("\n") == page.expected(prompt).rstrip("\n"), prompt
            assert page.times_received(prompt) == 1, prompt


@pytest.mark.parametrize("name", [name for name in WANTED if name in HTML_ONLY])
async def test_a_page_that_gets_only_html_is_answered_with_the_same_words(
    running: Cluster, name: str
) -> None:
    """No Markdown ever reaches such a page: how its table was aligned in the source cannot be known."""
    async with frontend(name, pace=PACE) as page:
        await running.check("provider", "add", page.url, "--name", name)
        for prompt, answer in await _ask_all(running, name, HTML_ONLY[name]):
            assert _words(answer) == _words(page.expected(prompt)), prompt
            assert page.times_received(prompt) == 1, prompt


async def test_where_all_pages_show_one_conversation_tasks_take_turns(running: Cluster) -> None:
    """Asked side by side, the answer to one prompt would be taken for that to another."""
    async with trap_server(PACE) as server:
        added = await running.nerv("provider", "add", server.url("one_thread"), "--name", "thread")
        assert "one task at a time" in added.err
        for prompt, answer in await _ask_all(running, "thread"):
            assert answer.rstrip("\n") == reply_for(prompt).rstrip("\n"), prompt
            assert server.times("one_thread", prompt) == 1, prompt


@pytest.mark.parametrize("variant", PLAYGROUNDS)
async def test_the_playground_answers_over_each_transport_in_each_kind_of_page(
    running: Cluster, variant: str
) -> None:
    name = "playground-" + re.sub(r"\W+", "-", variant).strip("-")
    async with launch(pace=PACE) as playground:
        await running.check("provider", "add", playground.url + variant, "--name", name)
        for prompt, answer in await _ask_all(running, name):
            assert answer.rstrip("\n") == reply_for(prompt).rstrip("\n"), prompt
        received = (await playground.stats()).received
        assert set(received.values()) == {1}, received
