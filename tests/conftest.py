"""Fixtures of every test: the leak gate, and a fresh home for instances."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leaks import Snapshot, left_behind, temporary_folder


@pytest.fixture(autouse=True)
def leak_gate() -> Iterator[None]:
    """Fails a test that leaves a process, a thread, a socket file or a temporary folder behind."""
    folder = temporary_folder()
    before = Snapshot.take(folder)
    yield
    found = left_behind(before, folder)
    if found:
        pytest.fail("left behind:\n  " + "\n  ".join(found), pytrace=False)


@pytest.fixture
def nerv_home() -> Iterator[Path]:
    """A home for instances whose path is short enough for sockets (pytest's own are not)."""
    folder = Path(tempfile.mkdtemp(prefix="nv-"))
    yield folder
    shutil.rmtree(folder)
