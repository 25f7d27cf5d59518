"""The page in a real browser: each variant shows the reply, and history outlives a reload."""

import os
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, FrameLocator, Page, async_playwright

from drivers.playground import Pace, Playground, launch, reply_for
from drivers.playground.prompt import digest

SEEN_MS = 15_000
CATCH_CLIPBOARD = "navigator.clipboard.writeText = async (text) => { globalThis.copied = text; }"


@pytest.fixture
async def site() -> AsyncIterator[Playground]:
    async with launch(pace=Pace(chunks=10, seconds=0.2)) as running:
        yield running


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        path = os.environ.get("NERV_CHROMIUM", "/usr/bin/chromium")
        browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        await browser.close()


@pytest.mark.browser
async def test_every_variant_shows_the_reply_copies_its_markdown_and_keeps_it(
    site: Playground, browser: Browser
) -> None:
    variants = [("", via) for via in ("sse", "eventsource", "ws", "chunked", "ndjson", "poll", "dom")]
    variants += [("shadow", "ws"), ("iframe", "sse"), ("contenteditable,crossframe,shadow", "dom")]
    for ui, via in variants:
        prompt = f"hello {ui} {via}"
        page = await browser.new_page()
        await page.goto(f"{site.url}?ui={ui}&via={via}")
        room: Page | FrameLocator = page.frame_locator("iframe") if "frame" in ui else page
        await room.get_by_label("Message", exact=True).fill(prompt, timeout=SEEN_MS)
        await page.keyboard.press("Enter")
        await room.get_by_label("Copy message").wait_for(timeout=SEEN_MS)
        shown = await room.locator(".markdown").inner_text()
        assert digest(prompt) in shown, (ui, via)
        frame = page.frames[-1]
        await frame.evaluate(CATCH_CLIPBOARD)
        await room.get_by_label("Copy message").click()
        await frame.wait_for_function("globalThis.copied !== undefined")
        assert await frame.evaluate("globalThis.copied") == reply_for(prompt), (ui, via)
        assert "/c/" in page.url
        await page.reload()
        await room.get_by_label("Copy message").wait_for(timeout=SEEN_MS)
        assert await room.locator(".markdown").inner_text() == shown, (ui, via)
        assert (await site.stats()).received[digest(prompt)] == 1
        await page.close()


@pytest.mark.browser
async def test_a_crash_kills_the_renderer_and_the_reply_is_there_afterwards(
    site: Playground, browser: Browser
) -> None:
    page = await browser.new_page()
    await page.goto(site.url)
    await page.get_by_label("Message", exact=True).fill("crash hello")
    async with page.expect_event("crash", timeout=SEEN_MS):
        await page.keyboard.press("Enter")
    other = await browser.new_page()
    await other.goto(site.url)
    await other.get_by_role("link", name="crash hello").click()
    await other.get_by_label("Copy message").wait_for(timeout=SEEN_MS)
    assert digest("crash hello") in await other.locator(".markdown").inner_text()
