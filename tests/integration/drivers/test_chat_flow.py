"""The whole way in real Chromium against the playground: discover, ask, stream, harvest, and what goes wrong."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from drivers.chat import ChatResult, Resume, run_chat
from drivers.discovery import discover
from drivers.playground import Pace, Playground, launch, reply_for
from drivers.recipes import Recipe
from drivers.session import BrowserSession
from drivers.trouble import Trouble
from kernel.tasks import Finish, ReplySource, Stage, TroubleKind

pytestmark = pytest.mark.browser

QUICK = Pace(chunks=20, seconds=0.6)


class Watcher:
    """Takes what a run reports, and can stop it in the middle."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.text = ""
        self.stages: list[Stage] = []
        self.conversation: str | None = None
        self._stop_at = stop_at

    async def stage(self, stage: Stage, conversation: str | None = None) -> None:
        self.stages.append(stage)
        self.conversation = conversation or self.conversation

    async def delta(self, text: str, offset: int, rewrite: bool) -> None:
        assert rewrite == (offset < len(self.text))
        self.text = self.text[:offset] + text
        if self._stop_at is not None and len(self.text) >= self._stop_at and self.conversation:
            raise Stopped


class Stopped(Exception):
    pass


@pytest.fixture
async def playground() -> AsyncIterator[Playground]:
    async with launch(pace=QUICK) as running:
        yield running


async def ask(
    session: BrowserSession,
    recipe: Recipe,
    prompt: str,
    watcher: Watcher | None = None,
    resume: Resume | None = None,
    seconds: float = 60.0,
) -> ChatResult:
    lease = await session.lease(recipe.name, "default", recipe)
    clean = False
    try:
        deadline = asyncio.get_running_loop().time() + seconds
        result = await run_chat(lease, recipe, prompt, watcher or Watcher(), resume=resume, deadline=deadline)
        clean = True
        return result
    finally:
        await session.release(lease, reuse=clean)


@pytest.mark.parametrize(
    "variant", ["", "?via=ws&ui=shadow", "?via=eventsource&ui=contenteditable", "?ui=iframe"]
)
async def test_a_page_nobody_described_is_learned_and_answers_exactly(
    session: BrowserSession, playground: Playground, variant: str
) -> None:
    recipe = await discover(session, playground.url + variant)
    for prompt in ("hello there", "two lines\n  and an indent"):
        watcher = Watcher()
        result = await ask(session, recipe, prompt, watcher)
        assert result.text == watcher.text == reply_for(prompt)
        assert (result.finish, result.source) == (Finish.COMPLETE, ReplySource.WIRE)
        assert watcher.stages[:4] == [Stage.PREPARED, Stage.TYPED, Stage.SUBMITTED, Stage.ACCEPTED]
        assert watcher.conversation is not None
    stats = await playground.stats()
    assert stats.prompts_total == 3  # the probe, and each prompt once


async def test_a_reply_that_was_left_in_the_middle_is_harvested_and_nothing_is_sent_again(
    session: BrowserSession, playground: Playground
) -> None:
    recipe = await discover(session, playground.url)
    watcher = Watcher(stop_at=100)
    with pytest.raises(Stopped):
        await ask(session, recipe, "left alone", watcher)
    sent = (await playground.stats()).prompts_total
    for conversation in (watcher.conversation, None):
        resume = Resume(stage=Stage.ACCEPTED, conversation=conversation)
        result = await ask(session, recipe, "left alone", Watcher(), resume)
        assert result.text.strip() == reply_for("left alone").strip()
    assert (await playground.stats()).prompts_total == sent


async def test_a_prompt_that_was_accepted_but_is_not_found_is_not_sent_again(
    session: BrowserSession, playground: Playground
) -> None:
    recipe = await discover(session, playground.url)
    sent = (await playground.stats()).prompts_total
    with pytest.raises(Trouble) as caught:
        await ask(session, recipe, "nowhere to be found", resume=Resume(stage=Stage.ACCEPTED))
    assert caught.value.kind is TroubleKind.UNHARVESTABLE
    assert (await playground.stats()).prompts_total == sent


async def test_a_prompt_that_the_page_is_proved_not_to_have_taken_is_sent(
    session: BrowserSession, playground: Playground
) -> None:
    recipe = await discover(session, playground.url)
    result = await ask(session, recipe, "never arrived", resume=Resume(stage=Stage.SUBMITTED))
    assert result.text == reply_for("never arrived")
    assert list((await playground.stats()).received.values()) == [1, 1]


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("empty please", TroubleKind.EMPTY_REPLY),
        ("hang please", TroubleKind.PAGE_FROZEN),
    ],
)
async def test_what_goes_wrong_is_told_apart(
    session: BrowserSession, playground: Playground, prompt: str, kind: TroubleKind
) -> None:
    recipe = await discover(session, playground.url)
    with pytest.raises(Trouble) as caught:
        await ask(session, recipe, prompt)
    assert caught.value.kind is kind
    assert caught.value.error.stage is Stage.ACCEPTED


async def test_a_prompt_that_the_server_refused_may_be_sent_again(
    session: BrowserSession, playground: Playground
) -> None:
    """The page has drawn the turn already; the answer to the request says that nobody has the prompt."""
    recipe = await discover(session, playground.url)
    with pytest.raises(Trouble) as caught:
        await ask(session, recipe, "ratelimit:1 hello", watcher := Watcher())
    assert watcher.stages[-1] is Stage.ACCEPTED
    error = caught.value.error
    assert (error.kind, error.stage, error.refused) == (TroubleKind.RATE_LIMIT, Stage.NONE, True)
    assert error.retry_after == 2.0, "as the server asked"
    assert (await ask(session, recipe, "ratelimit:1 hello")).text == reply_for("ratelimit:1 hello")
    stats = await playground.stats()
    assert list(stats.refused.values()) == [1]
    assert list(stats.received.values()) == [1, 1]


@pytest.mark.parametrize("fault", ["cut", "error"])
async def test_a_reply_that_breaks_off_is_never_called_complete(
    session: BrowserSession, playground: Playground, fault: str
) -> None:
    recipe = await discover(session, playground.url)
    result = await ask(session, recipe, f"{fault} hello")
    assert result.finish is Finish.CUT_OFF
    assert 0 < len(result.text) < len(reply_for(f"{fault} hello"))


@pytest.mark.parametrize(
    ("fault", "kind"), [("login", TroubleKind.LOGIN_WALL), ("challenge", TroubleKind.CHALLENGE)]
)
async def test_a_wall_is_named_by_discovery(
    session: BrowserSession, playground: Playground, fault: str, kind: TroubleKind
) -> None:
    with pytest.raises(Trouble) as caught:
        await discover(session, f"{playground.url}?fault={fault}")
    assert caught.value.kind is kind


async def test_an_address_where_nobody_answers_is_unreachable(session: BrowserSession) -> None:
    with pytest.raises(Trouble) as caught:
        await discover(session, "http://127.0.0.1:9/")
    assert caught.value.kind is TroubleKind.UNREACHABLE


async def test_the_death_of_the_browser_is_told_at_once(session: BrowserSession) -> None:
    gone = asyncio.Event()
    session.on_dead(gone.set)
    assert session.pid is not None
    os.kill(session.pid, 9)
    async with asyncio.timeout(10):
        await gone.wait()
    assert not session.alive
    with pytest.raises(Trouble) as caught:
        await session.lease("any", "default", None)
    assert caught.value.kind is TroubleKind.BROWSER_DEAD
