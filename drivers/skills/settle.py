"""From an address to a page that can be written on: loaded, hydrated, nothing in the way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence

import msgspec
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Frame

from drivers.guard import PageMoved, guarded
from drivers.locate import PageSnapshot, rank_inputs
from drivers.page import ChatPage
from drivers.recipes.recipe import Locator, Recipe
from drivers.skills.heal import heal_input
from drivers.trouble import PageFacts, Trouble, from_page, trouble
from kernel.tasks import TroubleKind

SETTLE_SECONDS = 30.0
QUIET_MS = 150
STEP_MS = 2500
"""One look at the page waits this long at most for quiet; then what is in the way is dealt with."""
LAUNCH_MS = 700
"""The same for a chat that is known to be opened by a bubble first."""
RELAUNCH_SECONDS = 4.0
"""A bubble may be drawn before the page listens to it: if no chat came by then, it is clicked once more."""
MAX_DISMISSALS = 6


class Ready(msgspec.Struct, frozen=True):
    """Answer of the page's `ready`. ``state``: quiet, covered, disabled or missing."""

    state: str
    waited: float = 0.0
    loaded: str = ""


class Overlay(msgspec.Struct, frozen=True, kw_only=True):
    """Something that lies over the page. ``pick`` -1: no control that takes it away safely."""

    why: str
    pick: int
    role: str = ""
    text: str = ""
    button: str = ""
    password: bool = False
    input: bool = False
    boxes: int = 0


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The page can be written on: in this frame, at this input."""

    frame: Frame
    input: tuple[Locator, ...]
    healed: bool = False


async def settle(
    page: ChatPage, recipe: Recipe, *, navigate: bool, seconds: float = SETTLE_SECONDS
) -> Settled:
    """Open the recipe's address and wait until its input is there, enabled, uncovered, and the page is quiet.

    Raises Trouble that says what the page shows instead.
    """
    if navigate:
        await page.go(recipe.address, min(seconds, 30.0))
    until = time.monotonic() + seconds
    dismissed = 0
    launched: list[float] = []
    seen: Ready | None = None
    began = time.monotonic()
    while True:
        left = until - time.monotonic()
        frame = page.frame(recipe.frame)
        if left <= 0:
            raise await explain(page, seen.state if seen else "missing")
        if frame is None:
            await asyncio.sleep(min(0.05, max(0.0, left)))
            continue
        try:
            step = LAUNCH_MS if recipe.locators.launcher and not launched else STEP_MS
            cap = min(step, max(200, int(left * 1000)))
            seen = await page.call(
                frame, "ready", recipe.locators.input, QUIET_MS, cap, into=Ready, seconds=cap / 1000 + 8
            )
            if seen.state == "quiet":
                return Settled(frame=frame, input=recipe.locators.input)
            if seen.state == "covered" or (seen.state == "missing" and dismissed < MAX_DISMISSALS):
                dismissed += 1
                if dismissed <= MAX_DISMISSALS and await clear_overlays(
                    page, recipe.locators.input if seen.state == "covered" else (), frame
                ):
                    continue
            if seen.state == "covered" and dismissed > 2:
                # What covers the middle of the box may be its own placeholder or a decoration: writing will tell.
                return Settled(frame=frame, input=recipe.locators.input)
            if seen.state == "missing":
                failing = await explain(page, "missing", quick=True)
                if failing.kind in (
                    TroubleKind.CHALLENGE,
                    TroubleKind.LOGIN_WALL,
                    TroubleKind.RATE_LIMIT,
                ) or (failing.kind is TroubleKind.UNREACHABLE):
                    raise failing
                if recipe.locators.launcher and may_launch(launched, time.monotonic()):
                    if await _launch(page, recipe.locators.launcher):
                        launched.append(time.monotonic())
                    continue
                if time.monotonic() - began > 6.0:
                    healed = await heal_input(page, recipe)
                    if healed is not None:
                        await page.call(healed[0], "idle", into=int)
                        return Settled(frame=healed[0], input=healed[1], healed=True)
        except PageMoved:
            await asyncio.sleep(0.02)


async def clear_overlays(page: ChatPage, inputs: tuple[Locator, ...], frame: Frame | None = None) -> bool:
    """Take away dialogs and banners by their own close or accept control, else by Escape. True: something was done.

    Never clicks what buys, deletes, signs in or sends. Raises Trouble LOGIN_WALL when a dialog asks for a password.
    """
    acted = False
    for each in [frame] if frame is not None else page.frames():
        with contextlib.suppress(PageMoved):
            found = await page.call(each, "overlays", inputs, bool(inputs), into=tuple[Overlay, ...])
            for overlay in found:
                if overlay.password:
                    raise trouble(
                        TroubleKind.LOGIN_WALL, f"a dialog asks for a password: {overlay.text[:80]}"
                    )
                if overlay.input and not inputs:
                    continue  # the chat itself may live in a dialog
                if overlay.pick >= 0:
                    await page.call(each, "click", overlay.pick, into=bool)
                    acted = True
                elif overlay.why != "centre":
                    await press_escape(page)
                    acted = True
    if acted:
        await asyncio.sleep(0.05)
    return acted


async def press_escape(page: ChatPage) -> None:
    await guarded(page.page.keyboard.press("Escape"), "press Escape")


def may_launch(clicked: Sequence[float], now: float) -> bool:
    """Is a bubble that was clicked at these times to be clicked now?"""
    return not clicked or (len(clicked) == 1 and now - clicked[0] >= RELAUNCH_SECONDS)


async def _launch(page: ChatPage, launchers: tuple[Locator, ...]) -> bool:
    for frame in page.frames():
        element = await page.element(frame, "firstVisible", launchers)
        if element is not None:
            await click(element)
            return True
    return False


async def click(element: object) -> None:
    """Click an element; where something covers it, its click handler is called directly."""
    from playwright.async_api import ElementHandle

    assert isinstance(element, ElementHandle)
    try:
        async with asyncio.timeout(4):
            await element.click(timeout=2500)
    except (PlaywrightError, TimeoutError):
        await guarded(element.evaluate("(el) => el.click()"), "click through what covers it")


async def explain(page: ChatPage, state: str, *, quick: bool = False) -> Trouble:
    """What a page without a usable input shows instead."""
    inputs = passwords = marks = 0
    dialogs: list[str] = []
    script = (
        "() => document.querySelectorAll('#challenge-form,#cf-challenge-running,.g-recaptcha,.h-captcha,"
        ".cf-turnstile,[data-sitekey],iframe[src*=captcha],iframe[src*=challenge]').length"
    )
    for frame in page.frames():
        with contextlib.suppress(PageMoved):
            shot = await page.call(frame, "snapshot", into=PageSnapshot)
            inputs += len(rank_inputs(shot))
            passwords += shot.passwords
            marks += int(await guarded(frame.evaluate(script), "look for a challenge"))
            if not quick:
                found = await page.call(frame, "overlays", (), False, into=tuple[Overlay, ...])
                dialogs += [overlay.text for overlay in found if overlay.why == "dialog"]
    facts = PageFacts(
        url=page.page.url,
        frames=tuple(frame.url for frame in page.frames()[1:]),
        status=page.status,
        passwords=passwords,
        inputs=inputs,
        dialogs=tuple(dialogs),
        challenge_marks=marks,
    )
    named = from_page(facts)
    if named is not None:
        return named
    what = {"disabled": "the input stays disabled", "covered": "something covers the input"}.get(
        state, "no input is found"
    )
    return trouble(
        TroubleKind.INPUT_NOT_FOUND,
        f"{page.page.url}: {what} ({inputs} possible inputs, {len(page.frames())} frames)",
    )
