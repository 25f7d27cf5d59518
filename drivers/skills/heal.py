"""A locator that finds nothing any more: look for the input anew, by scores."""

from __future__ import annotations

import contextlib

import msgspec
from playwright.async_api import Frame

from drivers.guard import PageMoved
from drivers.locate import Candidate, PageSnapshot, Step, locators_for, rank_inputs
from drivers.page import ChatPage
from drivers.recipes.recipe import Locator, Recipe

HEAL_SCORE = 0.6


class Count(msgspec.Struct, frozen=True):
    """How many elements a locator names."""

    all: int
    visible: int


async def locators_of(page: ChatPage, frame: Frame, pick: int) -> tuple[Locator, ...]:
    """Locators of a picked element that name it alone, best first."""
    lineage = await page.call(frame, "lineageOf", pick, into=tuple[Step, ...])
    wanted = locators_for(lineage)
    counts = await page.call(frame, "counts", wanted, into=tuple[Count, ...])
    good = [it for it, count in zip(wanted, counts, strict=True) if count.visible == 1 and count.all == 1]
    good += [it for it, count in zip(wanted, counts, strict=True) if count.visible == 1 and count.all > 1]
    return tuple(good[:5])


async def best_inputs(page: ChatPage) -> list[tuple[float, Frame, Candidate, PageSnapshot]]:
    """Candidates for the input in all frames, best first."""
    found: list[tuple[float, Frame, Candidate, PageSnapshot]] = []
    for frame in page.frames():
        with contextlib.suppress(PageMoved):
            shot = await page.call(frame, "snapshot", into=PageSnapshot)
            found += [(score, frame, candidate, shot) for score, candidate in rank_inputs(shot)]
    return sorted(found, key=lambda it: -it[0])


async def heal_input(page: ChatPage, recipe: Recipe) -> tuple[Frame, tuple[Locator, ...]] | None:
    """The input that scores best now, if it is a clear case. Writing into it and reading back is its proof."""
    for score, frame, candidate, _ in (await best_inputs(page))[:1]:
        if score >= HEAL_SCORE and not candidate.disabled:
            found = await locators_of(page, frame, candidate.pick)
            if found:
                return frame, found
    return None
