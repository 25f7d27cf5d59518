"""One Chromium: started, watched, its pages kept warm and leased, closed or killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from playwright.async_api import Browser, BrowserContext, Page, Playwright, async_playwright
from playwright.async_api import Error as PlaywrightError

from drivers.agent import EMIT, agent_source
from drivers.browser import BrowserConfig, find_browser
from drivers.guard import guarded
from drivers.page import ChatPage
from drivers.recipes import Recipe
from drivers.scratch import make_scratch, remove_scratch
from drivers.skills.settle import settle
from drivers.trouble import Trouble, trouble
from kernel.tasks import TroubleKind

__all__ = ("BrowserConfig", "BrowserSession", "PageLease", "find_browser")

WARM_SECONDS = 240.0
"""A prepared page older than this is loaded again: its session at the site may have ended."""
WARM_DEADLINE = 45.0
MAX_WARM_PER_ACCOUNT = 4
CLOSE_SECONDS = 5.0

Lane = tuple[str, str]


@dataclass(eq=False, kw_only=True)
class PageLease:
    """The right to use one page until it is released."""

    lane: Lane
    """Provider and account."""
    page: ChatPage
    recipe: Recipe | None = None
    """With it the page is made ready for the next task as soon as it is given back."""
    generation: int
    """Counts the leases of this browser: a late call with an old lease is told apart by it."""
    prepared: bool = False
    """The page stands at the recipe's address, settled and untouched."""
    prepared_at: float = 0.0
    valid: bool = True


@dataclass(eq=False)
class _Warm:
    page: ChatPage
    recipe: Recipe | None
    """What it was made ready for: a recipe learned anew may stand at another address."""
    ready: asyncio.Task[bool] | None = None
    prepared_at: float = 0.0


@dataclass(eq=False)
class _Account:
    context: BrowserContext
    warm: list[_Warm] = field(default_factory=list)


class BrowserSession:
    """One Chromium. Not shared between event loops. Make it with :meth:`launch`."""

    def __init__(self, config: BrowserConfig, playwright: Playwright, browser: Browser) -> None:
        self._config = config
        self._playwright = playwright
        self._browser = browser
        self._accounts: dict[Lane, _Account] = {}
        self._pages: dict[Page, ChatPage] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._creating = asyncio.Lock()
        self._on_dead: list[Callable[[], None]] = []
        self._generation = 0
        self._closing = False
        self._dead = False
        self._started = time.monotonic()
        self._process: psutil.Process | None = None
        self._folder: Path | None = None
        self._profile: Path | None = None
        self.pages_opened = 0
        browser.on("disconnected", self._disconnected)

    @classmethod
    async def launch(cls, config: BrowserConfig) -> BrowserSession:
        """Start Chromium. Raises a NervError (no browser found) or Trouble (it does not start in time)."""
        executable = await asyncio.to_thread(find_browser, config.executable)
        # Chromium's temporary files and Playwright's go here: one that is killed leaves them behind.
        folder = await asyncio.to_thread(make_scratch)
        playwright: Playwright | None = None
        try:
            async with asyncio.timeout(config.launch_seconds):
                playwright = await async_playwright().start()
                # launch() talks over a pipe: when this process dies, the pipe ends and Chromium with it.
                browser = await playwright.chromium.launch(
                    executable_path=str(executable),
                    headless=config.headless,
                    args=config.arguments(),
                    env={**os.environ, "TMPDIR": str(folder)},
                    artifacts_dir=folder / "artifacts",
                    chromium_sandbox=False if "--no-sandbox" in config.arguments() else None,
                    handle_sigint=False,
                    handle_sigterm=False,
                    handle_sighup=False,
                )
        except (TimeoutError, PlaywrightError) as error:
            if playwright is not None:
                with contextlib.suppress(PlaywrightError, TimeoutError):
                    async with asyncio.timeout(CLOSE_SECONDS):
                        await playwright.stop()
            await asyncio.to_thread(remove_scratch, folder)
            reason = (str(error).splitlines() or [f"no answer within {config.launch_seconds:g} s"])[0]
            raise trouble(TroubleKind.BROWSER_DEAD, f"{executable} does not start: {reason}") from error
        session = cls(config, playwright, browser)
        session._folder = folder
        session._process = await asyncio.to_thread(_find_process, config.marker)
        session._profile = await asyncio.to_thread(_profile_of, session._process)
        return session

    # -- what it is -------------------------------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        """Process id of the browser; None if it could not be found among our children."""
        return self._process.pid if self._process is not None else None

    @property
    def alive(self) -> bool:
        return not self._dead and not self._closing and self._browser.is_connected()

    @property
    def version(self) -> str:
        return f"Chromium {self._browser.version}"

    @property
    def age(self) -> float:
        """Seconds since the launch."""
        return time.monotonic() - self._started

    def on_dead(self, callback: Callable[[], None]) -> None:
        """Call back once, when the browser dies without having been closed."""
        self._on_dead.append(callback)

    def _disconnected(self, _: Browser) -> None:
        self._dead = True
        for page in self._pages.values():
            page.closed = True
            page._end()
        callbacks, self._on_dead = self._on_dead, []
        if not self._closing:
            for callback in callbacks:
                callback()

    # -- pages -----------------------------------------------------------------------------------------

    async def lease(self, provider: str, account: str, recipe: Recipe | None) -> PageLease:
        """A page of this provider and account: a warm one that answers, or a new one. Raises Trouble."""
        self._check_alive()
        lane = (provider, account)
        self._generation += 1
        generation = self._generation
        place = self._accounts.get(lane)
        while place is not None and place.warm:
            warm = place.warm.pop()
            prepared = await self._await_warm(warm)
            if not await warm.page.healthy():
                await self._discard(warm.page)
                continue
            fresh = prepared and warm.recipe == recipe and time.monotonic() - warm.prepared_at < WARM_SECONDS
            return PageLease(
                lane=lane,
                page=warm.page,
                recipe=recipe,
                generation=generation,
                prepared=fresh,
                prepared_at=warm.prepared_at,
            )
        async with self._creating:
            await self._make_room()
            page = await self._open(lane)
        return PageLease(lane=lane, page=page, recipe=recipe, generation=generation)

    async def release(self, lease: PageLease, *, reuse: bool) -> None:
        """Give a page back. ``reuse``: keep it warm, and make it ready for the next task at once."""
        if not lease.valid:
            return
        lease.valid = False
        lease.page.listen(None)
        place = self._accounts.get(lease.lane)
        keep = reuse and self.alive and place is not None and len(place.warm) < MAX_WARM_PER_ACCOUNT
        if not keep or place is None or not await lease.page.healthy():
            await self._discard(lease.page)
            return
        warm = _Warm(lease.page, lease.recipe)
        if lease.recipe is not None:
            warm.ready = self._spawn(self._prepare(warm, lease.recipe))
        place.warm.append(warm)

    async def _prepare(self, warm: _Warm, recipe: Recipe) -> bool:
        try:
            async with asyncio.timeout(WARM_DEADLINE):
                await settle(warm.page, recipe, navigate=True)
        except (Trouble, TimeoutError):
            return False  # the next lease settles the page itself, and tells what is wrong with it
        warm.prepared_at = time.monotonic()
        return True

    async def _await_warm(self, warm: _Warm) -> bool:
        if warm.ready is None:
            return False
        ready, warm.ready = warm.ready, None
        return await ready

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _open(self, lane: Lane) -> ChatPage:
        place = self._accounts.get(lane)
        if place is None:
            place = _Account(await self._new_context())
            self._accounts[lane] = place
        raw = await guarded(place.context.new_page(), "open a page", 15)
        page = await ChatPage.open(raw)
        self._pages[raw] = page
        self.pages_opened += 1
        return page

    async def _new_context(self) -> BrowserContext:
        context = await guarded(
            self._browser.new_context(
                viewport={"width": self._config.width, "height": self._config.height},
                ignore_https_errors=False,
                accept_downloads=False,
            ),
            "open a browser context",
            15,
        )
        with contextlib.suppress(PlaywrightError):
            await context.grant_permissions(["clipboard-read", "clipboard-write"])
        await guarded(context.expose_binding(EMIT, self._report), "expose the report binding")
        await guarded(context.add_init_script(agent_source()), "add the page script")
        return context

    def _report(self, source: Any, message: str) -> None:
        page = self._pages.get(source["page"])
        if page is not None:
            page.report(source["frame"], message)

    async def _make_room(self) -> None:
        if len(self._pages) < self._config.max_pages:
            return
        for place in self._accounts.values():
            if place.warm:
                warm = place.warm.pop(0)
                if warm.ready is not None:
                    warm.ready.cancel()
                await self._discard(warm.page)
                return
        raise trouble(TroubleKind.INTERNAL, f"all {self._config.max_pages} pages of this browser are in use")

    async def _discard(self, page: ChatPage) -> None:
        self._pages.pop(page.page, None)
        await page.close()

    def _check_alive(self) -> None:
        if not self.alive:
            raise trouble(TroubleKind.BROWSER_DEAD, "the browser is gone")

    # -- the end ---------------------------------------------------------------------------------------

    async def recycle(self) -> None:
        """Close every page and context, and begin with empty ones; the browser stays."""
        await self._stop_tasks()
        accounts, self._accounts = self._accounts, {}
        for page in list(self._pages.values()):
            await self._discard(page)
        for place in accounts.values():
            with contextlib.suppress(Trouble):
                await guarded(place.context.close(), "close a context", CLOSE_SECONDS)

    async def close(self) -> None:
        """Close the browser; kill its process tree when it does not close within a few seconds."""
        if self._closing:
            return
        self._closing = True
        await self._stop_tasks()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._browser.close()
        except (TimeoutError, PlaywrightError):
            await asyncio.to_thread(_kill_tree, self._process)
        with contextlib.suppress(TimeoutError, PlaywrightError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._playwright.stop()
        await asyncio.to_thread(_kill_tree, self._process)
        for folder in (self._folder, self._profile):
            # Playwright gives up on a profile that a dying browser still writes to.
            if folder is not None:
                await asyncio.to_thread(remove_scratch, folder)

    async def _stop_tasks(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _find_process(marker: str) -> psutil.Process | None:
    """Playwright does not tell the browser's pid; its own command line does."""
    wanted = f"--nerv-run={marker}"
    newest: psutil.Process | None = None
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            line = child.cmdline()
            if wanted in line and not any(part.startswith("--type=") for part in line):
                newest = child if newest is None or child.create_time() >= newest.create_time() else newest
    return newest


def _profile_of(process: psutil.Process | None) -> Path | None:
    """The profile that Playwright made for this browser, from its command line."""
    if process is None:
        return None
    with contextlib.suppress(psutil.Error):
        for word in process.cmdline():
            if word.startswith("--user-data-dir=") and "playwright" in word:
                return Path(word.partition("=")[2])
    return None


def _kill_tree(process: psutil.Process | None) -> None:
    if process is None:
        return
    with contextlib.suppress(psutil.Error):
        if (
            not process.is_running()
        ):  # compares the start time: a pid that was given to another is not touched
            return
        family = [*process.children(recursive=True), process]
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.kill()
        psutil.wait_procs(family, timeout=2)
