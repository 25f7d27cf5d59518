"""Does a page begin a conversation of its own, or do all pages show the same one?"""

from __future__ import annotations

import asyncio

from drivers.page import ChatPage
from drivers.recipes.recipe import Recipe
from drivers.skills.exchange import Exchange
from drivers.skills.settle import Ready, settle

SETTLE_SECONDS = 20.0
QUIET_MS = 600
"""A page that fetches its conversation draws it within this time after the last thing it drew, …"""
QUIET_CAP_MS = 4000
"""… or, if it is never quiet, within this time."""
LOOK_SECONDS = 0.2


async def shows_prompt(page: ChatPage, recipe: Recipe, prompt: str) -> bool:
    """Whether ``page``, opened anew at the recipe's address, shows a turn with this prompt. Raises Trouble."""
    settled = await settle(page, recipe, navigate=True, seconds=SETTLE_SECONDS)
    patience = QUIET_CAP_MS / 1000 + 8
    await page.call(settled.frame, "ready", (), QUIET_MS, QUIET_CAP_MS, into=Ready, seconds=patience)
    exchange = await Exchange.begin(page, settled.frame, recipe, settled.input, prompt, None, history=True)
    try:
        async with asyncio.timeout(SETTLE_SECONDS):
            while exchange.report is None:
                await exchange.look()
                await exchange.wait(LOOK_SECONDS)
        return exchange.report.user
    finally:
        await exchange.end()
