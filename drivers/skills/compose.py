"""The prompt into the input, proved by reading it back."""

from __future__ import annotations

import asyncio
import re
import time
from enum import IntEnum

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


class Echo(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of the page's `compose`."""

    state: str
    index: int = 0
    single: bool = False
    value: str = ""
    focused: bool = False


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
    best = Match.NONE
    held = ""
    single = False
    for way in ("command", "paste", "keys", "value"):
        echo = await _write(page, frame, inputs, prompt, way, until, send)
        held, single = echo.value, echo.single
        got = match(prompt, held)
        if got is Match.WORDS and single and multiline:
            return got
        best = max(best, got)
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
    way: str,
    until: float,
    send: tuple[Locator, ...],
) -> Echo:
    seconds = 8.0 + len(prompt) / 4000
    while True:
        try:
            first = way if way in ("command", "value") else "focus"
            echo = await page.call(frame, "compose", inputs, prompt, first, send, into=Echo, seconds=seconds)
        except PageMoved:
            echo = Echo(state="missing")
        if echo.state == "done":
            break
        if time.monotonic() > until:
            what = "is disabled" if echo.state == "disabled" else "is not there"
            raise trouble(TroubleKind.INPUT_NOT_FOUND, f"the input {what}", stage=Stage.PREPARED)
        await asyncio.sleep(0.05)
    if way in ("command", "value"):
        return echo
    if way == "paste":
        await guarded(page.page.keyboard.insert_text(prompt), "insert the prompt", seconds)
    else:
        lines = prompt.split("\n")
        for number, line in enumerate(lines):
            if line:
                await guarded(page.page.keyboard.insert_text(line), "type a line", seconds)
            if number < len(lines) - 1:
                await guarded(page.page.keyboard.press("Shift+Enter"), "break the line", seconds)
    held = await read_input(page, frame, inputs)
    return msgspec.structs.replace(echo, value=held.value)


class Held(msgspec.Struct, frozen=True):
    """What the input holds now."""

    present: bool
    disabled: bool = False
    value: str = ""


async def read_input(page: ChatPage, frame: Frame, inputs: tuple[Locator, ...]) -> Held:
    return await page.call(frame, "readInput", inputs, into=Held)
