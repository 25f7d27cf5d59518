"""Front ends that others wrote: after an exchange the wire is proved to be the reply, byte for byte, and the rule
it was found by streams the next one."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import ElementHandle, Page

from drivers.capture import StreamRule, WireCapture, WireDelta
from drivers.playground import Pace
from drivers.text import final_text
from kernel.tasks import ReplySource
from tests.chat_uis.frontends import frontend
from tests.integration.drivers.chromium import chromium

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

# Input, reply, and whether the front end's own server takes away the last line end before it sends.
PAGES = {
    "gradio": ("textarea", "[data-testid=bot]", True),
    "chainlit": ("#chat-input", ".ai-message .message-content", False),
}
NEVER_IDLE = {"gradio"}
"""Pages that hold a stream open; the others take no prompt before their socket is open, so rest is waited for."""
KINDS = ["plain", "long", "code", "unicode", "math", "short"]


@pytest.mark.parametrize("name", PAGES)
async def test_every_kind_of_reply_is_read_from_the_wire(name: str) -> None:
    entry, area, trimmed = PAGES[name]
    async with frontend(name, pace=Pace(chunks=30, seconds=0.8)) as ui, chromium() as browser:
        page = await browser.new_page()
        wire = await WireCapture.attach(page)
        await page.goto(ui.url, wait_until="load" if name in NEVER_IDLE else "networkidle")
        rule: StreamRule | None = None
        for count, kind in enumerate(KINDS, 1):
            prompt = f"{kind} question number {count}"
            deltas: list[WireDelta] = []
            wire.begin(prompt, rule, deltas.append)
            await submit(page, entry, prompt)
            expected = ui.expected(prompt)
            element = await drawn(page, area, expected)
            found = await final_text(page, element, wire, prompt=prompt, timeout_s=20)
            assert found.source is ReplySource.WIRE, (kind, found.why)
            assert found.text == (expected.rstrip("\n") if trimmed else expected), kind
            assert found.wire is not None
            if rule is not None and kind != "short":
                assert wire.live_text() == found.text
                assert len(deltas) > 3
            if rule is None:
                rule = found.wire.rule
        assert list(wire.errors) == []
        await wire.detach()


async def submit(page: Page, entry: str, prompt: str) -> None:
    """Type and press Enter; again as long as the prompt stays in the box: a page that is not connected ignores it."""
    box = page.locator(entry).first
    await box.click(timeout=20_000)
    await page.keyboard.insert_text(prompt)
    async with asyncio.timeout(40):
        while True:
            await page.keyboard.press("Enter")
            for _ in range(10):
                if prompt not in await box.evaluate("box => box.value ?? box.innerText"):
                    return
                await asyncio.sleep(0.2)


async def drawn(page: Page, area: str, expected: str) -> ElementHandle:
    """The newest element that shows this reply, when it has not changed for a while."""
    marks = {word.strip("#*_`.:") for line in expected.strip().split("\n")[:1] for word in line.split()} - {
        ""
    }
    seen: list[str] = []
    async with asyncio.timeout(40):
        while True:
            elements = await page.query_selector_all(area)
            text = await elements[-1].inner_text() if elements else ""
            seen = [*seen[-3:], text]
            if all(mark in text for mark in marks) and len(seen) == 4 and len(set(seen)) == 1:
                return elements[-1]
            await asyncio.sleep(0.4)
