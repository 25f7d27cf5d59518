"""Find a prompt that a page took in an earlier attempt, and the place where its reply stands or grows."""

from __future__ import annotations

import asyncio

from playwright.async_api import Frame

from drivers.guard import PageMoved
from drivers.page import ChatPage
from drivers.recipes.recipe import Recipe
from drivers.skills.exchange import Exchange
from drivers.skills.settle import clear_overlays, click, explain
from drivers.skills.stream import ReplyStream
from drivers.trouble import Trouble, trouble
from kernel.tasks import Stage, TroubleKind

FIND_SECONDS = 12.0
"""How long a page may take to show the turns of a conversation."""
LIST_SECONDS = 3.0
"""How long a list of conversations must have stood there without the prompt before its absence is a proof."""


async def find_exchange(
    page: ChatPage, recipe: Recipe, prompt: str, conversation: str | None, stage: Stage, stream: ReplyStream
) -> Exchange | None:
    """The exchange of this prompt, shown again by the page; None: proved that the page never took the prompt.

    Proof is one of two things, and only for a prompt that was not seen accepted: the page lists conversations by
    their prompts (the recipe says so), the list is there and not empty, and the prompt is not in it after
    ``LIST_SECONDS``. Everything else that is not found is Trouble UNHARVESTABLE: it may be anywhere.
    """
    frame, exchange = await _open(page, recipe, prompt, conversation or recipe.address, stream)
    if await _shown(exchange, FIND_SECONDS if conversation else LIST_SECONDS):
        return exchange
    if not conversation and await _follow_link(page, frame, prompt):
        exchange = await _renew(exchange, page, recipe, prompt, stream)
        if await _shown(exchange, FIND_SECONDS):
            return exchange
    absent = False
    if not conversation and stage is Stage.SUBMITTED and recipe.history:
        absent = await page.call(page.page.main_frame, "historyCount", into=int) > 0
    await exchange.end()
    if absent:
        return None
    named = await explain(page, "missing", quick=True)
    if named.kind in (
        TroubleKind.LOGIN_WALL,
        TroubleKind.CHALLENGE,
        TroubleKind.RATE_LIMIT,
        TroubleKind.UNREACHABLE,
    ):
        raise named.at(stage)
    where = conversation or recipe.address
    raise trouble(TroubleKind.UNHARVESTABLE, f"{where} does not show the prompt that was sent", stage=stage)


async def _open(
    page: ChatPage, recipe: Recipe, prompt: str, url: str, stream: ReplyStream
) -> tuple[Frame, Exchange]:
    """Load the address with the capture already listening: a reload may carry the reply as history."""
    page.capture.begin(prompt, recipe.stream, None)
    await page.go(url)
    until = asyncio.get_running_loop().time() + FIND_SECONDS
    while True:
        frame = page.frame(recipe.frame)
        try:
            if frame is not None:
                exchange = await Exchange.begin(
                    page, frame, recipe, recipe.locators.input, prompt, stream, history=True
                )
                exchange.sent()
                await clear_overlays(page, recipe.locators.input, frame)
                return frame, exchange
        except PageMoved as moved:
            if asyncio.get_running_loop().time() > until:
                raise Trouble(moved.error) from moved
        if asyncio.get_running_loop().time() > until:
            raise trouble(TroubleKind.UNHARVESTABLE, f"{url}: the frame of the chat does not appear")
        await asyncio.sleep(0.05)


async def _renew(old: Exchange, page: ChatPage, recipe: Recipe, prompt: str, stream: ReplyStream) -> Exchange:
    await old.end()
    frame = page.frame(recipe.frame) or page.page.main_frame
    exchange = await Exchange.begin(page, frame, recipe, recipe.locators.input, prompt, stream, history=True)
    exchange.sent()
    return exchange


async def _shown(exchange: Exchange, seconds: float) -> bool:
    until = exchange.now + seconds
    while exchange.now < until:
        if exchange.report is not None and exchange.report.user:
            return True
        await exchange.wait(min(0.5, until - exchange.now))
        if exchange.report is None:
            await exchange.again()
    return exchange.report is not None and exchange.report.user


async def _follow_link(page: ChatPage, frame: Frame, prompt: str) -> bool:
    for each in {page.page.main_frame, frame}:
        link = await page.element(each, "historyLink", prompt)
        if link is not None:
            await click(link)
            return True
    return False
