from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from drivers.session import BrowserConfig, BrowserSession


@pytest.fixture
async def session() -> AsyncIterator[BrowserSession]:
    """A browser of this test's own."""
    running = await BrowserSession.launch(BrowserConfig(marker=f"test-{os.getpid()}"))
    yield running
    await running.close()
