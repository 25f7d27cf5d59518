"""One page of the browser as the skills see it: calls into the in-page script, and what it reports."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from playwright.async_api import CDPSession, ElementHandle, Frame, JSHandle, Page
from playwright.async_api import Error as PlaywrightError

from drivers.agent import AGENT, agent_source
from drivers.capture import WireCapture
from drivers.guard import PAGE_SECONDS, from_playwright, guarded
from drivers.outgoing import OutgoingWatch
from drivers.recipes.recipe import FrameRule
from drivers.trouble import Trouble, trouble
from kernel.tasks import TroubleKind

T = TypeVar("T")
NAVIGATION_SECONDS = 30.0
HEALTH_SECONDS = 1.0
MAX_LISTENER_ERRORS = 50


class ChatPage:
    """A page with its wire capture and the in-page script. Owned by one lease at a time."""

    def __init__(self, page: Page, capture: WireCapture, pulse: CDPSession) -> None:
        self.page = page
        self.capture = capture
        self.outgoing = OutgoingWatch(page)
        self.status: int | None = None
        """HTTP status of the last document."""
        self.crashed = False
        self.closed = False
        self.listener_errors: deque[str] = deque(maxlen=MAX_LISTENER_ERRORS)
        """Errors inside our own listeners; the oldest are forgotten beyond the bound."""
        self._pulse = pulse
        self._on_report: Callable[[Frame, str], None] | None = None
        self._on_end: set[Callable[[], None]] = set()
        page.on("crash", self._crash)
        page.on("close", self._close)

    @classmethod
    async def open(cls, page: Page) -> ChatPage:
        """Attach to a page before its first navigation."""
        capture = await guarded(WireCapture.attach(page), "attach the capture")
        pulse = await guarded(page.context.new_cdp_session(page), "open a second line to the page")
        with contextlib.suppress(PlaywrightError):
            # Without it a page in the background believes that nobody looks, and some then draw nothing.
            await guarded(
                pulse.send("Emulation.setFocusEmulationEnabled", {"enabled": True}), "emulate focus"
            )
        return cls(page, capture, pulse)

    # -- events -----------------------------------------------------------------------------------------

    def listen(self, report: Callable[[Frame, str], None] | None) -> None:
        """Who gets the reports of the in-page script from now on; None: nobody."""
        self._on_report = report

    def on_end(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back when the page crashes or closes. Returns what takes the callback away again."""
        self._on_end.add(callback)
        return lambda: self._on_end.discard(callback)

    def report(self, frame: Frame, message: str) -> None:
        """A report came through the binding. An exception here would surface in an unrelated Playwright call."""
        if self._on_report is None:
            return
        try:
            self._on_report(frame, message)
        except Exception as error:  # noqa: BLE001 - see above; kept for forensics
            self.listener_errors.append(repr(error))

    def _crash(self, _: Page) -> None:
        self.crashed = True
        self._end()

    def _close(self, _: Page) -> None:
        self.closed = True
        self._end()

    def _end(self) -> None:
        for callback in tuple(self._on_end):
            callback()

    def check(self) -> None:
        """Raises Trouble when the page is gone."""
        if self.crashed:
            raise trouble(TroubleKind.PAGE_CRASHED, "the page crashed")
        if self.closed or self.page.is_closed():
            raise trouble(TroubleKind.BROWSER_DEAD, "the page or its browser went away")

    # -- navigation and health ---------------------------------------------------------------------------

    async def go(self, url: str, seconds: float = NAVIGATION_SECONDS) -> None:
        """Load an address; returns once the document is parsed. Raises Trouble: UNREACHABLE, PAGE_FROZEN."""
        self.check()
        try:
            async with asyncio.timeout(seconds):
                response = await self.page.goto(url, wait_until="domcontentloaded", timeout=0)
        except TimeoutError as slow:
            raise trouble(TroubleKind.UNREACHABLE, f"{url} did not load within {seconds:g} s") from slow
        except PlaywrightError as error:
            raise from_playwright(error, f"open {url}") from error
        self.status = response.status if response is not None else None

    async def healthy(self) -> bool:
        """Does the page's own thread answer within a second? Asked on a line of its own, past stuck calls."""
        if self.crashed or self.closed or self.page.is_closed():
            return False
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                answer = await self._pulse.send(
                    "Runtime.evaluate", {"expression": "1+1", "returnByValue": True}
                )
        except (TimeoutError, PlaywrightError):
            return False
        return bool(answer.get("result", {}).get("value") == 2)

    # -- calls into the in-page script --------------------------------------------------------------------

    async def call(
        self, frame: Frame, function: str, *arguments: Any, into: type[T], seconds: float = PAGE_SECONDS
    ) -> T:
        """Call a function of the in-page script and decode what it returns. Raises Trouble."""
        script = f"([name, args]) => window.{AGENT} ? window.{AGENT}[name](...args) : '{AGENT} missing'"
        plain = msgspec.to_builtins(list(arguments))
        for last in (False, True):
            self.check()
            answer = await guarded(frame.evaluate(script, [function, plain]), function, seconds)
            if answer != f"{AGENT} missing":
                try:
                    return msgspec.convert(answer, into, strict=False)
                except msgspec.ValidationError as error:
                    raise trouble(
                        TroubleKind.INTERNAL, f"{function} answered out of shape: {error}"
                    ) from error
            if last:
                break
            # A popup keeps its first empty document's world: the script was not run again (chatlab, pitfalls).
            await guarded(frame.evaluate(agent_source()), "install the page script")
        raise trouble(TroubleKind.INTERNAL, f"the page script cannot be installed in {frame.url}")

    async def element(self, frame: Frame, function: str, *arguments: Any) -> ElementHandle | None:
        """Call a function of the in-page script that returns an element."""
        script = f"([name, args]) => window.{AGENT} ? window.{AGENT}[name](...args) : null"
        plain = msgspec.to_builtins(list(arguments))
        self.check()
        handle: JSHandle = await guarded(frame.evaluate_handle(script, [function, plain]), function)
        element = handle.as_element()
        if element is None:
            await guarded(handle.dispose(), "dispose")
        return element

    def frames(self) -> list[Frame]:
        """All frames that can be asked, the page's own first."""
        return [frame for frame in self.page.frames if not frame.is_detached()]

    def frame(self, rule: FrameRule) -> Frame | None:
        """The frame that a recipe means; None while it is not there."""
        if not rule.name and not rule.address:
            return self.page.main_frame
        inner = [frame for frame in self.frames() if frame is not self.page.main_frame]
        for frame in inner:
            if rule.address and frame_address(frame.url) == rule.address:
                return frame
        for frame in inner:
            if rule.name and frame.name == rule.name:
                return frame
        return None

    async def close(self) -> None:
        """Close the page, with a deadline; what cannot be closed dies with its browser."""
        self.listen(None)
        self._on_end.clear()
        if self.closed or self.page.is_closed():
            return
        with contextlib.suppress(Trouble, PlaywrightError, TimeoutError):
            async with asyncio.timeout(3):
                await self.capture.detach()
        with contextlib.suppress(Trouble):
            await guarded(self.page.close(run_before_unload=False), "close the page", 3)


def frame_address(url: str) -> str:
    """Scheme, host and path: what stays of a frame's address from one load to the next."""
    return url.split("#", 1)[0].split("?", 1)[0]
