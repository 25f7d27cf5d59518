"""The key or the click that sends."""

from __future__ import annotations

from playwright.async_api import Frame

from drivers.guard import guarded
from drivers.page import ChatPage
from drivers.recipes.recipe import Locator, SendWay
from drivers.skills.settle import click


async def press(page: ChatPage, frame: Frame, way: SendWay, send: tuple[Locator, ...]) -> bool:
    """Send what the input holds. False: there is nothing to press, the prompt was not sent."""
    if way is SendWay.CLICK:
        element = await page.element(frame, "element", send)
        if element is None:
            return False
        await click(element)
        return True
    key = "Enter" if way is SendWay.ENTER else "Control+Enter"
    await guarded(page.page.keyboard.press(key), f"press {key}")
    return True
