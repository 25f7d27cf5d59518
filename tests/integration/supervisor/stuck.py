"""An actor whose loop stops turning soon after it was ready."""

from __future__ import annotations

import asyncio
import time

from nerv.actor import Actor


class Stuck(Actor):
    async def start(self) -> None:
        asyncio.get_running_loop().call_later(0.5, self.never_come_back)

    def never_come_back(self) -> None:
        time.sleep(600)
