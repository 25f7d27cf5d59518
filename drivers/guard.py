"""The outer deadline around every call to a page: Playwright's own waits can be outlived by a page that hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import TimeoutError as PlaywrightTimeout

from drivers.trouble import Trouble, trouble
from kernel.tasks import TaskError, TroubleKind

T = TypeVar("T")

PAGE_SECONDS = 15.0
"""How long one call into a page may take before the page is taken for frozen."""


class PageMoved(Trouble):
    """The document went away under the call: the page navigated, or the frame was replaced. Ask again."""


async def guarded(call: Awaitable[T], what: str, seconds: float = PAGE_SECONDS) -> T:
    """The result of a page call, or Trouble: PAGE_FROZEN after ``seconds``, else what the error means."""
    try:
        async with asyncio.timeout(seconds):
            return await call
    except PlaywrightTimeout as slow:
        raise trouble(TroubleKind.PAGE_FROZEN, f"{what}: {_first_line(slow)}") from slow
    except TimeoutError as slow:
        raise trouble(TroubleKind.PAGE_FROZEN, f"{what}: no answer within {seconds:g} s") from slow
    except PlaywrightError as error:
        raise from_playwright(error, what) from error


def from_playwright(error: PlaywrightError, what: str) -> Trouble:
    """What an error of Playwright says about page and browser."""
    text = _first_line(error)
    if "Target crashed" in text or "Page crashed" in text:
        return trouble(TroubleKind.PAGE_CRASHED, f"{what}: the page crashed")
    if "context was destroyed" in text or "rame was detached" in text or "Cannot find context" in text:
        return PageMoved(TaskError(kind=TroubleKind.INTERNAL, reason=f"{what}: the page moved on"))
    if "has been closed" in text or "Connection closed" in text or "Browser closed" in text:
        return trouble(TroubleKind.BROWSER_DEAD, f"{what}: page or browser went away")
    if "net::ERR_" in text or "NS_ERROR" in text:
        return trouble(TroubleKind.UNREACHABLE, f"{what}: {text}")
    return trouble(TroubleKind.INTERNAL, f"{what}: {text}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
