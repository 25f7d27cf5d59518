"""The prompt into the input, proved by reading it back."""

from __future__ import annotations

import asyncio
import re
import time
from enum import IntEnum, StrEnum

import msgspec
from playwright.async_api import Frame

from drivers.guard import PageMoved, guarded
from drivers.page import ChatPage
from drivers.recipes.recipe import Locator
from drivers.trouble import trouble
from kernel.tasks import Stage, TroubleKind

ENABLE_SECONDS = 20.0
"""How long an input may stay missing or disabled before composing is given up."""


class Match(IntEnum):
    """How well what the input holds is the prompt."""

    NONE = 0
    WORDS = 1
    """The same words, other line breaks: all that a single-line input can hold."""
    LINES = 2
    """The same lines; blank ones may differ (editors show paragraphs as blank lines)."""
    EXACT = 3


class Way(StrEnum):
    """How the prompt gets into the input; tried in this order until what is read back is the prompt."""

    WHOLE = "whole"
    """At once: a field by the editing command, an editor as the keyboard of another language would."""
    SHIELDED = "shielded"
    """With a blank behind it that is taken away: editors that format what is typed look at its end."""
    LINES = "lines"
    """Line by line, with the key that breaks lines."""
    PAGE = "page"
    """By a script in the page: a field's value is set, an editor gets the editing command."""


class Echo(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of the page's `compose`."""

    state: str
    index: int = 0
    editor: bool = False
    """Not a field of a form but an editable part of the page, mostly with a model of its own behind it."""
    single: bool = False
    """A field of one line."""
    empty: bool = False
    value: str = ""


def match(prompt: str, held: str) -> Match:
    """Compare a prompt with what an input holds; trailing blanks and kinds of blanks do not count."""
    wanted, got = _lines(prompt), _lines(held)
    if wanted == got:
        return Match.EXACT
    if [line for line in wanted if line] == [line for line in got if line]:
        return Match.LINES
    if " ".join(wanted).split() == " ".join(got).split():
        return Match.WORDS
    return Match.NONE


def _lines(text: str) -> list[str]:
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u00a0", " ")
    text = re.sub(r"[\u200b\u2060\ufeff]", "", text)
    return [line.rstrip() for line in text.strip().split("\n")]


async def compose(
    page: ChatPage,
    frame: Frame,
    inputs: tuple[Locator, ...],
    prompt: str,
    send: tuple[Locator, ...] = (),
) -> Match:
    """Write the prompt; an old draft is replaced. Raises Trouble COMPOSE_MISMATCH, INPUT_NOT_FOUND."""
    until = time.monotonic() + ENABLE_SECONDS
    multiline = "\n" in prompt.strip()
    held = ""
    for way in Way:
        held, single = await _write(page, frame, inputs, prompt, way, until, send)
        got = match(prompt, held)
        if got is Match.WORDS and single and multiline:
            return got
        if got >= Match.LINES:
            return got
    if match(prompt, held) is Match.WORDS:
        return Match.WORDS
    if len(held) < len(prompt) and held and prompt.startswith(held[: len(held) // 2]):
        reason = f"the input took {len(held)} of {len(prompt)} characters"
    else:
        reason = f"the input holds {len(held)} characters that are not the prompt"
    raise trouble(TroubleKind.COMPOSE_MISMATCH, reason, stage=Stage.PREPARED)


async def _write(
    page: ChatPage,
    frame: Frame,
    inputs: tuple[Locator, ...],
    prompt: str,
    way: Way,
    until: float,
    send: tuple[Locator, ...],
) -> tuple[str, bool]:
    """What the input holds then, and whether it is a field of one line."""
    seconds = 8.0 + len(prompt) / 4000
    of_page = {Way.WHOLE: "field", Way.PAGE: "page"}.get(way, "focus")
    while True:
        try:
            echo = await page.call(
                frame, "compose", inputs, prompt, of_page, send, into=Echo, seconds=seconds
            )
        except PageMoved:
            echo = Echo(state="missing")
        if echo.state == "done":
            break
        if time.monotonic() > until:
            what = "is disabled" if echo.state == "disabled" else "is not there"
            raise trouble(TroubleKind.INPUT_NOT_FOUND, f"the input {what}", stage=Stage.PREPARED)
        await asyncio.sleep(0.05)
    if way is Way.PAGE or (way is Way.WHOLE and not echo.editor):
        return echo.value, echo.single
    keyboard = page.page.keyboard
    if not echo.empty:
        await guarded(keyboard.press("ControlOrMeta+a"), "select what the input holds", seconds)
        await guarded(keyboard.press("Delete"), "empty the input", seconds)
    if way is Way.LINES:
        for number, line in enumerate(prompt.split("\n")):
            if number:
                await guarded(keyboard.press("Shift+Enter"), "break the line", seconds)
            if line:
                await guarded(keyboard.insert_text(line), "insert a line", seconds)
    elif way is Way.SHIELDED:
        await guarded(keyboard.insert_text(f"{prompt} "), "insert the prompt", seconds)
        await guarded(keyboard.press("Backspace"), "take the last blank away", seconds)
    else:
        await guarded(keyboard.insert_text(prompt), "insert the prompt", seconds)
    return await page.call(frame, "composed", inputs, send, into=str, seconds=seconds), echo.single


class Held(msgspec.Struct, frozen=True):
    """What the input holds now."""

    present: bool
    disabled: bool = False
    value: str = ""


async def read_input(page: ChatPage, frame: Frame, inputs: tuple[Locator, ...]) -> Held:
    return await page.call(frame, "readInput", inputs, into=Held)
