"""What a test may leave behind: nothing. Child processes, threads, files of sockets, temporary folders."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

SETTLE_SECONDS = 15.0
"""How long a process or thread that was told to end may take to be gone."""
OURS = ("nerv-", "nv-", "playwright", "org.chromium", ".org.chromium", "puppeteer")
"""Beginnings of the names of what this project and its browsers put into the temporary folder."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    processes: frozenset[int]
    threads: frozenset[int]
    files: frozenset[str]

    @classmethod
    def take(cls, folder: Path) -> Snapshot:
        return cls(
            processes=frozenset(child.pid for child in _descendants()),
            threads=frozenset(thread.ident or 0 for thread in threading.enumerate()),
            files=frozenset(entry.name for entry in folder.iterdir() if entry.name.startswith(OURS)),
        )


def left_behind(before: Snapshot, folder: Path) -> list[str]:
    """What is there now and was not before, after waiting for it to go; empty when all is clean."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        found = _compare(before, folder)
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _compare(before: Snapshot, folder: Path) -> list[str]:
    found = [
        f"process {child.pid}: {' '.join(_command_line(child))[:200]}"
        for child in _descendants()
        if child.pid not in before.processes
    ]
    found += [
        f"thread {thread.name}"
        for thread in threading.enumerate()
        if thread.ident not in before.threads and not _is_pooled(thread)
    ]
    found += [
        f"file {entry}"
        for entry in folder.iterdir()
        if entry.name.startswith(OURS) and entry.name not in before.files
    ]
    return found


def _is_pooled(thread: threading.Thread) -> bool:
    """Threads of a default executor live as long as their loop's pool; the pool is bounded and reused."""
    return thread.name.startswith(("asyncio_", "ThreadPoolExecutor"))


def _descendants() -> list[psutil.Process]:
    return psutil.Process(os.getpid()).children(recursive=True)


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() or [process.name()]
    except psutil.Error:
        return ["?"]


def temporary_folder() -> Path:
    return Path(tempfile.gettempdir())
