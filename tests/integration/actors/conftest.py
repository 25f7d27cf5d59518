from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.actors.cell import Cell


@pytest.fixture
async def cell(nerv_home: Path) -> AsyncIterator[Cell]:
    """Broker, store, queue and kernel in this process, on real sockets and real files."""
    async with Cell(nerv_home) as running:
        await running.start("bus", "store", "queue", "kernel")
        yield running
