"""The provider commands: the catalogue of recipes, and discovery by a driver that has a page to spare."""

from __future__ import annotations

import asyncio
import time

from msgspec.structs import replace

from drivers.recipes import Catalog, check_name
from kernel.breakers import BreakerBoard
from kernel.messages import ProviderAdd, ProviderAdded, ProviderDiscover, ProviderPage, ProviderView
from kernel.providers import check_address, check_probe, name_from, taken
from kernel.workforce import Workforce
from nerv.bus.peer_socket import Peer
from nerv.errors import Busy, ErrorCode, ErrorInfo, NervError

FREE_PAGE_SECONDS = 30.0
"""How long a discovery waits for a driver with a free page."""
POLL_SECONDS = 0.2


class ProviderDesk:
    def __init__(
        self,
        peer: Peer,
        catalog: Catalog,
        workforce: Workforce,
        breakers: BreakerBoard,
        *,
        seconds: float,
    ) -> None:
        self._peer = peer
        self._catalog = catalog
        self._workforce = workforce
        self._breakers = breakers
        self._seconds = seconds

    async def page(self) -> ProviderPage:
        """A recipe that cannot be read is left out of no list: its own error says why, as its address."""
        views = await asyncio.to_thread(self._read_all)
        now = time.time()
        return ProviderPage(
            providers=tuple(
                replace(view, breaker=self._breakers.of_provider(view.name, now=now).value) for view in views
            )
        )

    async def add(self, message: ProviderAdd, *, deadline: float) -> ProviderAdded:
        problem = check_address(message.url) or check_probe(message.probe)
        if problem is not None:
            raise NervError(problem)
        name = message.name or name_from(message.url)
        check_name(name)
        known = await asyncio.to_thread(self._catalog.names)
        problem = None if message.replace else taken(name, known)
        if problem is not None:
            raise NervError(problem)
        seconds = min(self._seconds, deadline - time.time()) if deadline else self._seconds
        driver = await self._free_driver(min(FREE_PAGE_SECONDS, seconds))
        discover = ProviderDiscover(url=message.url, name=name, probe=message.probe)
        return await self._peer.request(driver, discover, timeout=seconds)

    async def remove(self, name: str) -> None:
        await asyncio.to_thread(self._catalog.remove, name)

    async def _free_driver(self, seconds: float) -> str:
        until = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            found = max(self._workforce.capacities(now=now), key=lambda capacity: capacity.free, default=None)
            if found is not None and found.free > 0:
                return found.driver
            if now >= until:
                raise Busy(
                    ErrorInfo(
                        code=ErrorCode.BUSY,
                        reason="no driver has a free page" if found else "no driver is ready",
                        fix="`nerv status` shows the drivers; try again when one is free",
                        retry_after=5.0,
                    )
                )
            await asyncio.sleep(POLL_SECONDS)

    def _read_all(self) -> list[ProviderView]:
        views = []
        for name in self._catalog.names():
            try:
                recipe = self._catalog.get(name)
            except NervError as error:
                views.append(
                    ProviderView(name=name, address=str(error), origin="unreadable", tried_live=False)
                )
                continue
            views.append(
                ProviderView(
                    name=name,
                    address=recipe.address,
                    origin=recipe.origin.value,
                    tried_live=recipe.tried_live,
                    models=tuple(recipe.models),
                )
            )
        return views
