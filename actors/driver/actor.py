"""The driver process: offers its free pages to the kernel, runs attempts, keeps one Chromium alive."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.driver.attempt import Attempt, LeaseLost
from actors.driver.settings import DriverSettings
from drivers.discovery import discover
from drivers.recipes import Catalog, Recipe
from drivers.session import BrowserConfig, BrowserSession, PageLease
from drivers.trouble import Trouble
from kernel.messages import (
    KERNEL,
    AttemptCancel,
    AttemptRun,
    DriverOffer,
    ProviderAdded,
    ProviderDiscover,
)
from kernel.tasks import DEFAULT_ACCOUNT, Task, TaskError, TaskId, TroubleKind
from nerv.actor import Actor, Context, handles
from nerv.errors import ErrorCode, ErrorInfo, NervError
from nerv.messages import Ok
from nerv.settings import decode_settings

OFFER_SECONDS = 2.0
"""How often the kernel is told the truth about this driver even when nothing changed."""
LAUNCH_TRIES = 3
"""A browser that will not start this often in a row ends the process: restarts are the supervisor's."""
RELAUNCH_PAUSE = 0.5


class DriverActor(Actor):
    """One Chromium, ``settings.pages`` tasks at a time."""

    async def start(self) -> None:
        self._settings = decode_settings(self.settings, DriverSettings, actor=self.name)
        self._catalog = Catalog(user=self.instance.recipes)
        self._attempts: dict[TaskId, asyncio.Task[None]] = {}
        self._discoveries = 0
        self._offer_changed = asyncio.Event()
        self._browser_ready = asyncio.Event()
        self._browser_gone = asyncio.Event()
        self._session: BrowserSession | None = None
        await self._launch()
        self.background(self._keep_browser(), name="keep browser")
        self.background(self._keep_offering(), name="offer pages")

    async def stop(self) -> None:
        attempts = list(self._attempts.values())
        for attempt in attempts:
            attempt.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def gauges(self) -> dict[str, float]:
        return {
            "pages": self._settings.pages,
            "pages_free": self._free,
            "browser_up": 1.0 if self._browser_ready.is_set() else 0.0,
        }

    # -- messages -------------------------------------------------------------------------------------

    @handles(AttemptRun)
    async def run_attempt(self, message: AttemptRun, context: Context) -> Ok:
        task = message.task
        if task.id in self._attempts:
            return Ok()
        if self._free < 1:
            raise NervError(
                ErrorInfo(code=ErrorCode.BUSY, reason="every page of this driver is in use", retry_after=1.0)
            )
        recipe = self._catalog.get(task.provider)
        attempt = Attempt(
            self.peer,
            task,
            lease_seconds=message.lease_seconds,
            recipe=recipe,
            open_page=self._open_page,
            log=self.log,
        )
        self._attempts[task.id] = self.background(self._run(attempt), name=f"attempt {task.id}")
        self._offer_changed.set()
        return Ok()

    @handles(AttemptCancel)
    async def cancel_attempt(self, message: AttemptCancel, context: Context) -> Ok:
        attempt = self._attempts.get(message.id)
        if attempt is not None:
            self.log.info("attempt cancelled", task=message.id, reason=message.reason)
            attempt.cancel()
        return Ok()

    @handles(ProviderDiscover)
    async def discover_provider(self, message: ProviderDiscover, context: Context) -> ProviderAdded:
        self._discoveries += 1
        self._offer_changed.set()
        try:
            session = await self._live_session()
            recipe = await discover(session, message.url, name=message.name, probe=message.probe)
        except Trouble as trouble:
            raise NervError(
                ErrorInfo(
                    code=ErrorCode.TROUBLE,
                    reason=f"{trouble.error.kind}: {trouble.error.reason}",
                    field="url",
                    fix="open the page in a browser and see that a visitor can chat there",
                )
            ) from trouble
        finally:
            self._discoveries -= 1
            self._offer_changed.set()
        path = await asyncio.to_thread(self._catalog.save, recipe)
        return ProviderAdded(path=str(path), **recipe.summary())

    # -- attempts -------------------------------------------------------------------------------------

    async def _run(self, attempt: Attempt) -> None:
        task = attempt.task
        try:
            await attempt.run()
        except LeaseLost as lost:
            self.log.warning("lease lost", task=task.id, attempt=task.attempt, reason=str(lost))
        except NervError as error:
            # The kernel could not be told. The lease runs out, and the next attempt finds what this one sealed.
            self.log.error("report failed", task=task.id, attempt=task.attempt, error=str(error))
        finally:
            del self._attempts[task.id]
            self._offer_changed.set()

    @asynccontextmanager
    async def _open_page(self, task: Task, recipe: Recipe) -> AsyncIterator[PageLease]:
        session = await self._live_session()
        page = await session.lease(task.provider, task.account or DEFAULT_ACCOUNT, recipe)
        clean = False
        try:
            yield page
            clean = True
        finally:
            await session.release(page, reuse=clean)

    # -- the browser ----------------------------------------------------------------------------------

    async def _live_session(self) -> BrowserSession:
        await self._browser_ready.wait()
        if self._session is None or not self._session.alive:
            raise Trouble(TaskError(kind=TroubleKind.BROWSER_DEAD, reason="the browser is being restarted"))
        return self._session

    async def _launch(self) -> None:
        config = BrowserConfig(
            executable=self._settings.browser or None,
            headless=self._settings.headless,
            marker=os.environ.get("NERV_RUN", f"{self.instance.name}-{self.name}"),
        )
        session = await BrowserSession.launch(config)
        self._browser_gone.clear()
        session.on_dead(self._browser_gone.set)
        self._session = session
        self._browser_ready.set()
        self.log.info("browser ready", browser=session.version, browser_pid=session.pid)

    async def _keep_browser(self) -> None:
        """Replace a browser that died at once; give up after `LAUNCH_TRIES` failures in a row."""
        while True:
            await self._browser_gone.wait()
            self._browser_ready.clear()
            self._offer_changed.set()
            self.log.warning("browser died")
            await self._close_session()
            await self._relaunch()

    async def _relaunch(self) -> None:
        for attempt in range(1, LAUNCH_TRIES + 1):
            try:
                await self._launch()
            except (NervError, Trouble, TimeoutError) as error:
                self.log.error("browser did not start", attempt=attempt, error=str(error))
                if attempt == LAUNCH_TRIES:
                    raise
                await asyncio.sleep(RELAUNCH_PAUSE * attempt)
            else:
                self._offer_changed.set()
                return

    async def _close_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _due_for_recycling(self) -> bool:
        session = self._session
        if session is None or self._attempts or self._discoveries:
            return False
        return (
            session.pages_opened >= self._settings.recycle_pages
            or session.age >= self._settings.recycle_seconds
        )

    # -- offers ---------------------------------------------------------------------------------------

    @property
    def _free(self) -> int:
        if not self._browser_ready.is_set() or self.stopping:
            return 0
        return max(0, self._settings.pages - len(self._attempts) - self._discoveries)

    async def _keep_offering(self) -> None:
        while True:
            if self._due_for_recycling():
                self.log.info("browser recycled")
                self._browser_ready.clear()
                await self._close_session()
                await self._relaunch()
            await self._offer()
            try:
                async with asyncio.timeout(OFFER_SECONDS):
                    await self._offer_changed.wait()
            except TimeoutError:
                continue
            self._offer_changed.clear()

    async def _offer(self) -> None:
        session = self._session
        offer = DriverOffer(
            driver=self.name,
            incarnation=self.peer.incarnation,
            pages=self._settings.pages,
            free=self._free,
            tasks=tuple(self._attempts),
            browser=session.version if session else "",
            browser_pid=session.pid if session else None,
        )
        try:
            await self.peer.request(KERNEL, offer, timeout=OFFER_SECONDS)
        except NervError as error:
            self.log.debug("offer not taken", error=str(error))  # the next one carries the whole truth again
