from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.tasks import SqliteTaskStore, TaskStore


@pytest.fixture(params=["sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TaskStore]:
    """Each backend in turn: what the conformance suite says holds for all of them."""
    opened = await SqliteTaskStore.open(tmp_path / "tasks.db")
    yield opened
    await opened.close()
