"""The key or the click that sends."""

from __future__ import annotations

import msgspec
from playwright.async_api import Frame

from drivers.guard import guarded
from drivers.page import ChatPage
from drivers.recipes.recipe import Locator, SendWay
from drivers.skills.settle import click


class Target(msgspec.Struct, frozen=True):
    """Where to click, in CSS pixels of the viewport. ``clear``: nothing lies over it, and it is enabled."""

    found: bool
    clear: bool
    x: float
    y: float


async def press(page: ChatPage, frame: Frame, way: SendWay, send: tuple[Locator, ...]) -> bool:
    """Send what the input holds. False: there is nothing to press, the prompt was not sent."""
    if way is SendWay.CLICK:
        if frame is page.page.main_frame:
            # Playwright's own click waits for two drawn frames; what it checks is checked in one call here.
            target = await page.call(frame, "target", send, into=Target)
            if not target.found:
                return False
            if target.clear:
                await guarded(page.page.mouse.click(target.x, target.y), "click the send control")
                return True
        element = await page.element(frame, "element", send)
        if element is None:
            return False
        await click(element)
        return True
    key = "Enter" if way is SendWay.ENTER else "Control+Enter"
    await guarded(page.page.keyboard.press(key), f"press {key}")
    return True
