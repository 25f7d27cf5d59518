"""Chromium's temporary folder: short enough for its socket, and never left for good by a killed driver."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from drivers.scratch import CHROMIUM_TAIL, MAX_SOCKET_PATH, PREFIX, make_scratch, remove_scratch, sweep


def test_it_is_made_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Path(tempfile.mkdtemp(prefix="nv-"))
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    folder = make_scratch()
    assert folder.parent == short
    remove_scratch(folder)
    short.rmdir()


def test_a_deep_temporary_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 90)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    folder = make_scratch()
    assert len(str(folder)) + CHROMIUM_TAIL <= MAX_SOCKET_PATH
    remove_scratch(folder)


def test_folders_of_dead_owners_are_swept_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    dead = tmp_path / f"{PREFIX}{int(gone.stdout)}-abc"
    living = tmp_path / f"{PREFIX}{os.getpid()}-abc"
    other = tmp_path / f"{PREFIX}notes"
    for folder in (dead, living, other):
        folder.mkdir()
    sweep(tmp_path)
    assert not dead.exists()
    assert living.exists()
    assert other.exists()
