"""The page's own copy-message control: pressed while its clipboard write is caught, so no clipboard changes."""

from __future__ import annotations

import asyncio
from importlib.resources import files

from playwright.async_api import ElementHandle
from playwright.async_api import Error as PlaywrightError

from drivers.capture import Verdict, compare

_SCRIPT = (files("drivers.text") / "copying.js").read_text("utf-8")
_TRIES = 3
_CLICK_SECONDS = 2.0
_WAIT_SECONDS = 1.0
_ALL_SECONDS = 5.0
"""A page that redraws its messages without pause lets nothing be pressed: the text is taken otherwise then."""


async def copied_text(reply: ElementHandle, page_text: str) -> tuple[str, Verdict] | None:
    """What the page copies of this reply, if its words are those the page shows; None when there is no such
    control, or it did not answer in time. Raises playwright's Error when the page is gone."""
    try:
        async with asyncio.timeout(_ALL_SECONDS):
            return await _copied(reply, page_text)
    except TimeoutError:
        return None


async def _copied(reply: ElementHandle, page_text: str) -> tuple[str, Verdict] | None:
    try:
        await reply.hover(timeout=_CLICK_SECONDS * 1000, force=True)
    except PlaywrightError:
        await asyncio.sleep(0)  # covered or out of view: its controls may be visible without it
    count = await reply.evaluate(_SCRIPT, {"find": True})
    if not count:
        return None
    await reply.evaluate(_SCRIPT, {"hook": True})
    try:
        for at in range(min(int(count), _TRIES)):
            text = await _press(reply, at)
            if text:
                verdict = compare(text, page_text)
                if verdict.ok:
                    return text, verdict
    finally:
        await reply.evaluate(_SCRIPT, {"release": True})
    return None


async def _press(reply: ElementHandle, at: int) -> str | None:
    control = (await reply.evaluate_handle(_SCRIPT, {"take": at})).as_element()
    if control is None:
        return None
    try:
        await control.click(timeout=_CLICK_SECONDS * 1000)
    except PlaywrightError:
        try:
            await control.evaluate("el => el.click()")  # shown on hover only, or covered
        except PlaywrightError:
            return None
    loop = asyncio.get_running_loop()
    until = loop.time() + _WAIT_SECONDS
    while loop.time() < until:
        text = await reply.evaluate(_SCRIPT, {"read": True})
        if text:
            return str(text)
        await asyncio.sleep(0.03)
    return None
