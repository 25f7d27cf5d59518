"""What NERV adds to a chat task on a warm page, and the lag of its deltas, against scripts that do only that.

The same playground, the same prompts, one run: a plain Playwright script (fill, Enter, wait for the finished turn,
read it), bare capture of the stream by CDP, and a whole NERV cluster asked over the bus.
"""

from __future__ import annotations

import asyncio
import base64
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright

from benchmarks.scratch import scratch_home
from drivers.playground import Pace, Playground, launch
from drivers.playground.prompt import digest
from drivers.session import BrowserConfig, find_browser
from kernel.messages import KERNEL, ProviderAdd, TaskSubmit
from kernel.work import follow, submit
from nerv.client import Client
from nerv.instance import Instance
from nerv.supervisor.control import start_detached, stop_running

ROUNDS = 12
WARM_UP = 2
PACE = Pace(chunks=20, seconds=0.6)
PROVIDER = "bench"
REST = 1.5
"""Seconds between two prompts: after each the page is made ready for the next, and it is the warm page that counts."""


def _prompt(label: str, number: int) -> str:
    return f"benchmark {label} {number}"


def _median(values: list[float]) -> float:
    return round(statistics.median(values) * 1000, 2)


def _sent_at(log: Path, prompt: str) -> list[tuple[int, float]]:
    """For each chunk of the reply to ``prompt``: characters so far, and when the site sent it (epoch seconds)."""
    sent, length = [], 0
    for line in log.read_text().splitlines():
        record = json.loads(line)
        if record["event"] == "chunk" and record["h"] == digest(prompt):
            length += record["len"]
            sent.append((length, record["t"]))
    return sent


def _lags(sent: list[tuple[int, float]], seen: list[tuple[int, float]]) -> list[float]:
    """For each chunk, how long after its sending the reader had all its characters."""
    lags = []
    for length, at in sent:
        arrived = next((when for have, when in seen if have >= length), None)
        if arrived is not None:
            lags.append(arrived - at)
    return lags


FINISHED = (
    "() => [...document.querySelectorAll('button')].some(button => button.textContent.trim() === 'Copy')"
)


async def _plain(page: Page, url: str, prompt: str) -> float:
    """One chat by a plain script, on a page that is loaded; seconds."""
    await page.goto(url)
    await page.wait_for_selector("textarea")
    began = time.perf_counter()
    await page.fill("textarea", prompt)
    await page.keyboard.press("Enter")
    await page.wait_for_function(FINISHED, polling="raf")
    await page.inner_text('div[data-role="assistant"]')
    return time.perf_counter() - began


async def _cdp(page: Page, seen: Callable[[int], None]) -> None:
    """Bare capture of the SSE stream: characters of the reply as they come."""
    session = await page.context.new_cdp_session(page)
    await session.send("Network.enable")
    length = 0

    def take(data: str) -> None:
        nonlocal length
        for line in base64.b64decode(data).decode().splitlines():
            if line.startswith("data:"):
                message = json.loads(line[5:])
                length += len(message.get("text", "")) if isinstance(message, dict) else 0
        seen(length)

    async def open_stream(event: dict[str, Any]) -> None:
        if "event-stream" in event["response"]["mimeType"]:
            answer = await session.send("Network.streamResourceContent", {"requestId": event["requestId"]})
            if answer.get("bufferedData"):
                take(answer["bufferedData"])

    opening: set[asyncio.Task[None]] = set()

    def responded(event: dict[str, Any]) -> None:
        task = asyncio.ensure_future(open_stream(event))
        opening.add(task)
        task.add_done_callback(opening.discard)

    session.on("Network.responseReceived", responded)
    session.on("Network.dataReceived", lambda event: take(event["data"]) if event.get("data") else None)


async def _scripts(playground: Playground, log: Path) -> tuple[list[float], list[float]]:
    """Times of the plain script, and lags of bare CDP capture."""
    times: list[float] = []
    lags: list[float] = []
    config = BrowserConfig(marker="bench")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(find_browser(None)), args=config.arguments(), headless=True
        )
        page = await browser.new_page()
        for number in range(ROUNDS + WARM_UP):
            prompt = _prompt("plain", number)
            took = await _plain(page, playground.url, prompt)
            if number >= WARM_UP:
                times.append(took)
        for number in range(ROUNDS):
            captured = await browser.new_page()
            seen: list[tuple[int, float]] = []

            def note(length: int, seen: list[tuple[int, float]] = seen) -> None:
                seen.append((length, time.time()))

            await _cdp(captured, note)
            prompt = _prompt("cdp", number)
            await _plain(captured, playground.url, prompt)
            lags += _lags(_sent_at(log, prompt), seen)
            await captured.close()
        await browser.close()
    return times, lags


async def _cluster(playground: Playground, log: Path) -> tuple[list[float], list[float]]:
    """Times from `task.submit` to the final event, and lags of the deltas at the client."""
    instance = Instance.locate()
    await asyncio.to_thread(start_detached, instance, None)
    times: list[float] = []
    lags: list[float] = []
    try:
        async with Client(instance) as client:
            await client.request(KERNEL, ProviderAdd(url=playground.url, name=PROVIDER), timeout=120)
            for number in range(ROUNDS + WARM_UP * 4):
                prompt = _prompt("nerv", number)
                seen: list[tuple[int, float]] = []
                length = 0
                began = time.perf_counter()
                accepted = await submit(client, TaskSubmit(provider=PROVIDER, prompt=prompt))
                async for step in follow(client, accepted.id):
                    if step.delta is not None:
                        length = step.delta.offset + len(step.delta.text)
                        seen.append((length, time.time()))
                if number >= WARM_UP * 4:
                    times.append(time.perf_counter() - began)
                    lags += _lags(_sent_at(log, prompt), seen)
                await asyncio.sleep(REST)
    finally:
        await asyncio.to_thread(stop_running, instance)
    return times, lags


async def _measure() -> dict[str, Any]:
    with scratch_home() as home:
        log = home / "playground.jsonl"
        async with launch(pace=PACE, log=log) as playground:
            plain, bare = await _scripts(playground, log)
            nerv, deltas = await _cluster(playground, log)
    return {
        "rounds": ROUNDS,
        "page_ms": round(PACE.seconds * 1000, 1),
        "plain_script_median_ms": _median(plain),
        "nerv_median_ms": _median(nerv),
        "nerv_more_than_plain_ms": round(_median(nerv) - _median(plain), 2),
        "reach_more_ms": 30.0,
        "bare_cdp_lag_median_ms": _median(bare),
        "nerv_lag_median_ms": _median(deltas),
        "reach_lag_ms": 10.0,
    }


def main() -> int:
    json.dump(asyncio.run(_measure()), sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
