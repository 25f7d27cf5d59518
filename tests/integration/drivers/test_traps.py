"""Every trap of tests/pages: found by discovery, asked twice, answered exactly, each prompt sent once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import pytest

from drivers.chat import ChatResult, run_chat
from drivers.discovery import discover
from drivers.playground import Pace, reply_for
from drivers.playground.markdown import to_html
from drivers.recipes import Recipe
from drivers.session import BrowserConfig, BrowserSession
from drivers.trouble import Trouble
from kernel.tasks import Finish, ReplySource, Stage, TroubleKind
from tests.pages import TRAPS, TrapServer, trap_server

pytestmark = pytest.mark.browser

PACE = Pace(chunks=12, seconds=0.5, pause=6.0)
PROBE = "short reference please"
PROMPTS = ("What is an actor?", "short and sweet")
OTHER = {
    "virtual_code": ("code of a queue", "short and sweet"),
    "kept_prompt": ("What is an actor?", "two\nlines"),
    "model_editor": ("two\nlines", "say it *loud*"),
    "thinking": ("pause then answer", "short and sweet"),
    "send_turns_stop": ("pause then answer", "two\nlines"),
}
UNPROVEN = {
    ("socket_silent_end", "What is an actor?"),
    ("socket_silent_end", "short and sweet"),
}
"""Nothing on the wire or on the page tells that these replies are complete."""
HTML_ONLY = {"html_only", "plain_form"}
"""Their backends send no Markdown: what comes out must at least mean the same."""
ONE_THREAD = {"plain_form", "one_thread"}
"""Each page shows the same conversation, those opened later too."""
INNER = {"decoy_frame": "frame_inner"}


class Deltas:
    """Puts together what was streamed."""

    def __init__(self) -> None:
        self.text = ""

    async def stage(self, stage: Stage, conversation: str | None = None) -> None:
        pass

    async def delta(self, text: str, offset: int, rewrite: bool) -> None:
        assert offset <= len(self.text)
        self.text = self.text[:offset] + text


async def ask(session: BrowserSession, recipe: Recipe, prompt: str) -> ChatResult:
    lease = await session.lease(recipe.name, "default", recipe)
    deltas = Deltas()
    clean = False
    try:
        deadline = asyncio.get_running_loop().time() + 40
        result = await run_chat(lease, recipe, prompt, deltas, deadline=deadline)
        assert deltas.text == result.text
        clean = True
        return result
    finally:
        await session.release(lease, reuse=clean)


async def answers_exactly(session: BrowserSession, server: TrapServer, page: str) -> None:
    recipe = await discover(session, server.url(page), name=page, probe=PROBE)
    assert recipe.one_thread == (page in ONE_THREAD)
    for prompt in OTHER.get(page, PROMPTS):
        result = await ask(session, recipe, prompt)
        expected = reply_for(prompt)
        if result.source is ReplySource.WIRE:
            assert result.text == expected, (result.finish, result.signs, result.why, result.timings)
        elif page in HTML_ONLY:
            assert to_html(result.text) == to_html(expected)
        else:
            raise AssertionError(f"{result.source}: {result.why}")
        assert result.finish is (Finish.UNPROVEN if (page, prompt) in UNPROVEN else Finish.COMPLETE), (
            result.signs
        )
        assert server.times(INNER.get(page, page), prompt) == 1


async def says_that_a_reply_is_empty(session: BrowserSession, server: TrapServer) -> None:
    recipe = await discover(session, server.url("greeting"), name="empty", probe=PROBE)
    with pytest.raises(Trouble) as caught:
        await ask(session, recipe, "empty please")
    assert caught.value.kind is TroubleKind.EMPTY_REPLY
    assert server.times("greeting", "empty please") == 1


async def waits_for_a_page_that_thinks(session: BrowserSession, server: TrapServer) -> None:
    """Also in the exchange that teaches: what stands there meanwhile is no reply, and no lesson."""
    recipe = await discover(session, server.url("thinking"), name="thinks", probe="pause for a reference")
    assert recipe.stream is not None
    assert recipe.completion.stream_ends


async def tells_a_reply_that_broke_off(session: BrowserSession, server: TrapServer, page: str) -> None:
    recipe = await discover(session, server.url(page), name=page, probe=PROBE)
    result = await ask(session, recipe, "error in the middle")
    whole = reply_for("error in the middle")
    assert result.finish is Finish.CUT_OFF
    assert len(result.text) > 100
    assert whole.startswith(result.text)
    assert server.times(page, "error in the middle") == 1


CASES: dict[str, Callable[[BrowserSession, TrapServer], Awaitable[None]]] = {
    **{page: partial(answers_exactly, page=page) for page in TRAPS if page != "frame_inner"},
    "empty reply": says_that_a_reply_is_empty,
    "thinks about the probe": waits_for_a_page_that_thinks,
    "reply taken away": partial(tells_a_reply_that_broke_off, page="bubble_removed"),
    "reply that says it failed": partial(tells_a_reply_that_broke_off, page="says_failure"),
    "socket that hangs up": partial(tells_a_reply_that_broke_off, page="socket_silent_end"),
}
GROUPS = 2


async def wrong_with(names: Sequence[str], at_once: int = 6) -> dict[str, str]:
    """What went wrong, by case. All cases share one browser: starting one takes longer than most of them."""
    wrong: dict[str, str] = {}
    turns = asyncio.Semaphore(at_once)

    async def run(name: str) -> None:
        async with turns:
            try:
                await CASES[name](session, server)
            except Exception as error:  # noqa: BLE001 - told below, together with the others
                wrong[name] = f"{type(error).__name__}: {error}"

    async with trap_server(PACE) as server:
        session = await BrowserSession.launch(BrowserConfig(marker=f"traps-{os.getpid()}", max_pages=40))
        try:
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(run(name))
        finally:
            await session.close()
    return wrong


@pytest.mark.timeout(300)
@pytest.mark.parametrize("group", range(GROUPS))
async def test_pages_that_nobody_prepared_for_answer_exactly_what_their_backend_sent(group: int) -> None:
    assert await wrong_with(list(CASES)[group::GROUPS]) == {}
