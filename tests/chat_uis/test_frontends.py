"""Each front end shows the reply that its backend computed, having received the prompt once."""

import os
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, FrameLocator, Locator, Page, async_playwright

from drivers.playground import Pace
from tests.chat_uis.environments import names
from tests.chat_uis.frontends import QUICK, frontend

# Where the input is, and what has to be clicked first or instead of Enter, for pages that need it said.
INPUT = {
    "nicegui": "input",
    "dash": "#box",
    "eventsource": "#q",
    "socketio": "input[name=m]",
    "marimo": ".cm-content",
}
INPUT |= {
    "vue_advanced_chat": "#roomTextarea",
    "xhr": "textarea",
    "webchat": "[data-id=webchat-sendbox-input]",
}
INPUT |= {"n8n": ".chat-inputs textarea", "assistant_ui": "textarea", "nlux": "textarea", "mesop": "input"}
FIRST = {"socketio": "dialog button", "n8n": ".chat-window-toggle"}
SEND = {"mesop": "button:has-text('send')", "xhr": "input[type=submit]", "ndjson": ".send"}
FRAME = {"deepchat_iframe": "iframe"}
ANY_INPUT = "textarea:visible, [contenteditable=true]:visible"
SEEN_MS = 20_000
wanted = names() if os.environ.get("NERV_LAB_ALL") else QUICK


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
        path = os.environ.get("NERV_CHROMIUM", "/usr/bin/chromium")
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        await browser.close()


async def send(page: Page, name: str, prompt: str) -> None:
    if name in FIRST:
        await page.locator(FIRST[name]).click()
    room: Page | FrameLocator = page.frame_locator(FRAME[name]) if name in FRAME else page
    box: Locator = room.locator(INPUT.get(name, ANY_INPUT)).first
    await box.click(timeout=SEEN_MS)
    await page.keyboard.type(prompt)
    if name in SEND:
        await page.locator(SEND[name]).click()
    else:
        await page.keyboard.press("Enter")


@pytest.mark.browser
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", wanted)
async def test_the_page_shows_the_reply_and_the_backend_received_the_prompt_once(
    browser: Browser, name: str
) -> None:
    prompt = "tell me about rivers"
    async with frontend(name, pace=Pace(chunks=20, seconds=0.5)) as running:
        page = await browser.new_page()
        await page.goto(running.url)
        await send(page, name, prompt)
        room: Page | FrameLocator = page.frame_locator(FRAME[name]) if name in FRAME else page
        last_words = running.expected(prompt).rstrip().rsplit("\n", 1)[-1]
        assert last_words.startswith("End of notes")
        await room.get_by_text(last_words).first.wait_for(state="attached", timeout=SEEN_MS)
        assert running.times_received(prompt) == 1
        await page.close()
