"""A folder for the temporary files of one Chromium: short enough for its sockets, swept when its owner is gone."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import psutil

PREFIX = "nerv-browser-"
MAX_SOCKET_PATH = 107
"""sun_path is 108 bytes with its final zero; beyond it Chromium ends at once ("Socket path too long")."""
CHROMIUM_TAIL = len("/org.chromium.Chromium.XXXXXX/SingletonSocket")
SHORT_BASE = Path("/tmp")


def make_scratch() -> Path:
    """Make one in the temporary folder, or in /tmp where that is too deep; first remove those of dead owners."""
    name = f"{PREFIX}{os.getpid()}-"
    base = Path(tempfile.gettempdir())
    if len(os.fsencode(base)) + 1 + len(name) + 8 + CHROMIUM_TAIL > MAX_SOCKET_PATH:
        base = SHORT_BASE
    sweep(base)
    return Path(tempfile.mkdtemp(prefix=name, dir=base))


def remove_scratch(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def sweep(base: Path) -> None:
    """Remove the folders of ours that a killed process left behind: its process id stands in the name."""
    for folder in base.glob(f"{PREFIX}*"):
        owner = folder.name.removeprefix(PREFIX).partition("-")[0]
        if not owner.isdecimal() or psutil.pid_exists(int(owner)):
            continue
        try:
            ours = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
        except FileNotFoundError:
            continue  # another process swept it at the same time
        if ours:
            remove_scratch(folder)
