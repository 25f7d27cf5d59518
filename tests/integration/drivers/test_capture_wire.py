"""Real Chromium against a real server: whatever way a reply travels, it is heard live and proved verbatim."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web
from playwright.async_api import Browser, Frame, Page

from drivers.capture import WireCapture, WireDelta
from tests.integration.drivers.chromium import chromium
from tests.integration.drivers.wire_server import REPLY, application

pytestmark = pytest.mark.browser

PROMPT = "What are ants?"


@pytest.fixture
async def address() -> AsyncIterator[str]:
    runner = web.AppRunner(application(), shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def page(browser: Browser) -> Page:
    return await browser.new_page()


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def exchange(
    capture: WireCapture, page: Page | Frame, way: str, rule: object = None
) -> list[WireDelta]:
    deltas: list[WireDelta] = []
    capture.begin(PROMPT, rule, deltas.append)  # type: ignore[arg-type]
    await page.evaluate("(way) => { out.removeAttribute('data-done'); text = ''; WAYS[way](); }", way)
    await page.wait_for_selector("#out[data-done]", timeout=15_000)
    return deltas


def replay(deltas: list[WireDelta]) -> str:
    text = ""
    for delta in deltas:
        text = text[: delta.offset] + delta.text
    return text


WAYS = ["sse", "ndjson", "chunked", "eventsource", "xhr", "poll", "whole", "ws", "ws_binary"]


async def test_every_way_is_proved_and_then_streamed_by_its_rule(page: Page, address: str) -> None:
    capture = await WireCapture.attach(page)
    await page.goto(f"http://{address}/")
    for way in WAYS:
        await exchange(capture, page, way)
        shown = await page.inner_text("#out")
        await until(lambda: capture.prove(shown) is not None)  # noqa: B023
        found = capture.prove(shown)
        assert found is not None, way
        assert found.text == REPLY, way
        assert found.exact, way

        deltas = await exchange(capture, page, way, found.rule)
        await until(lambda: capture.live_text() == REPLY)
        assert replay(deltas) == REPLY, way
        assert len(deltas) > 3 or way == "whole", way
    assert list(capture.errors) == []
    await capture.detach()


async def test_a_frame_of_another_site_is_heard(page: Page, address: str) -> None:
    capture = await WireCapture.attach(page)
    inner = f"http://localhost:{address.rpartition(':')[2]}/"
    await page.goto(f"http://{address}/?frame={inner}")
    await until(lambda: len(page.frames) == 2 and page.frames[1].url == inner)
    frame = page.frames[1]
    await frame.wait_for_selector("#out", state="attached")
    await exchange(capture, frame, "sse")
    shown = await frame.inner_text("#out")
    await until(lambda: capture.prove(shown) is not None)
    found = capture.prove(shown)
    assert found is not None
    assert found.text == REPLY
    await capture.detach()


async def test_follow_streams_a_reply_whose_rule_is_unknown(page: Page, address: str) -> None:
    capture = await WireCapture.attach(page)
    await page.goto(f"http://{address}/")
    deltas: list[WireDelta] = []
    capture.begin(PROMPT, None, deltas.append)
    await page.evaluate("() => { WAYS.sse(); }")
    async with asyncio.timeout(10):
        while capture.follow(await page.inner_text("#out")) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await page.wait_for_selector("#out[data-done]", timeout=15_000)
    await until(lambda: capture.live_text() == REPLY)
    assert replay(deltas) == REPLY
    assert len(deltas) > 5
    assert capture.activity().reply_ended is True
    await capture.detach()


async def test_activity_tells_streams_that_broke_off_and_were_refused(page: Page, address: str) -> None:
    capture = await WireCapture.attach(page)
    await page.goto(f"http://{address}/")
    capture.begin(PROMPT)
    await page.evaluate("() => fetch('/cut', {method: 'POST'}).then(r => r.text()).catch(() => 0)")
    await page.evaluate("() => fetch('/refused', {method: 'POST'}).then(r => r.text())")
    await until(lambda: bool(capture.activity().failed) and capture.activity().open_streams == 0)
    seen = capture.activity()
    assert [url.rpartition("/")[2] for url, _ in seen.failed] == ["cut"]
    assert [(it.status, it.url.rpartition("/")[2]) for it in seen.http_errors] == [(429, "refused")]
    await capture.detach()


async def test_a_new_exchange_forgets_the_last_one(page: Page, address: str) -> None:
    capture = await WireCapture.attach(page)
    await page.goto(f"http://{address}/")
    await exchange(capture, page, "whole")
    shown = await page.inner_text("#out")
    await until(lambda: capture.prove(shown) is not None)
    capture.begin("Another question")
    assert capture.prove(shown) is None
    assert capture.live_text() is None
    assert capture.activity().streams == ()
    await capture.detach()


async def test_nothing_is_raised_when_the_page_dies(browser: Browser, address: str) -> None:
    page = await browser.new_page()
    capture = await WireCapture.attach(page)
    await page.goto(f"http://{address}/")
    capture.begin(PROMPT)
    await page.evaluate("() => { WAYS.sse(); }")
    await page.close()
    await capture.detach()
    await capture.detach()
