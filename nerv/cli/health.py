"""The checks of `nerv doctor`: each looks at one thing NERV needs and says how to get it."""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import sys
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path

import msgspec

from nerv.errors import NervError
from nerv.instance import Instance

MIN_SQLITE = (3, 51, 3)
"""Older ones can lose commits when two connections write and checkpoint at once (sqlite.org, WAL-reset bug)."""
MIN_FILES = 1024
MIN_MEMORY = 2_000_000_000
MIN_DISK = 1_000_000_000
BROWSER_SECONDS = 30.0
NETWORK_FILESYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph"})


class Verdict(StrEnum):
    OK = "ok"
    WARN = "WARN"
    FAIL = "FAIL"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    verdict: Verdict
    found: str
    fix: str | None = None


def _finding(what: str, good: bool, found: str, fix: str, *, severity: Verdict = Verdict.FAIL) -> Finding:
    return Finding(
        what=what, verdict=Verdict.OK if good else severity, found=found, fix=None if good else fix
    )


async def check_all(instance: Instance, *, start_browser: bool) -> list[Finding]:
    """Every check, in the order in which a newcomer should mend them."""
    checks: tuple[Callable[[], Awaitable[Finding]], ...] = (
        _python,
        _sqlite,
        _zeromq,
        lambda: _browser(start_browser),
        lambda: _specification(instance),
        lambda: _folders(instance),
        lambda: _filesystem(instance),
        lambda: _disk(instance),
        _memory,
        _open_files,
        lambda: _cluster(instance),
    )
    return [await check() for check in checks]


async def _python() -> Finding:
    return _finding(
        "python", sys.version_info >= (3, 11), platform.python_version(), "install Python 3.11 or newer"
    )


async def _sqlite() -> Finding:
    import apsw

    version = apsw.sqlite_lib_version()
    numbers = tuple(int(part) for part in version.split("."))
    return _finding(
        "sqlite", numbers >= MIN_SQLITE, version, "pip install -U apsw (its wheel carries a current SQLite)"
    )


async def _zeromq() -> Finding:
    import zmq

    return _finding(
        "zeromq",
        zmq.has("ipc"),
        f"{zmq.zmq_version()}{', with CURVE' if zmq.has('curve') else ', without CURVE'}",
        "install pyzmq from its wheel: this build has no ipc transport",
    )


async def _browser(start: bool) -> Finding:
    from drivers.session import BrowserConfig, BrowserSession, find_browser
    from drivers.trouble import Trouble

    try:
        path = find_browser(None)
    except NervError as error:
        return Finding(what="browser", verdict=Verdict.FAIL, found=error.info.reason, fix=error.info.fix)
    if not start:
        return Finding(what="browser", verdict=Verdict.OK, found=str(path))
    try:
        async with asyncio.timeout(BROWSER_SECONDS):
            session = await BrowserSession.launch(
                BrowserConfig(executable=str(path), marker=f"doctor-{os.getpid()}")
            )
            version = session.version
            await session.close()
    except (NervError, Trouble, TimeoutError) as error:
        return Finding(
            what="browser",
            verdict=Verdict.FAIL,
            found=f"{path} does not start: {error}",
            fix=f"run `{path} --headless --dump-dom about:blank` and see what it says",
        )
    return Finding(what="browser", verdict=Verdict.OK, found=f"{path}, version {version}, starts")


async def _specification(instance: Instance) -> Finding:
    from nerv.supervisor.specification import find_specification, load_specification

    path = find_specification(instance)
    try:
        specification = load_specification(path)
    except NervError as error:
        return Finding(
            what="supervisor.toml", verdict=Verdict.FAIL, found=error.info.reason, fix=error.info.fix
        )
    return Finding(
        what="supervisor.toml", verdict=Verdict.OK, found=f"{path}, {len(specification.actors)} actors"
    )


async def _folders(instance: Instance) -> Finding:
    try:
        instance.create()
    except (OSError, NervError) as error:
        return Finding(
            what="folders",
            verdict=Verdict.FAIL,
            found=str(error),
            fix="make the folder writable for this user, or choose another with NERV_HOME",
        )
    return Finding(
        what="folders",
        verdict=Verdict.OK,
        found=", ".join(
            f"{word} {folder}"
            for word, folder in (
                ("config", instance.config),
                ("providers", instance.recipes),
                ("data", instance.data),
                ("logs", instance.logs),
                ("runtime", instance.runtime),
            )
        ),
    )


async def _filesystem(instance: Instance) -> Finding:
    kind = _filesystem_of(instance.data)
    return _finding(
        "filesystem",
        kind not in NETWORK_FILESYSTEMS,
        kind,
        "SQLite's WAL is unsafe on network mounts: put NERV_HOME on a local disk",
    )


def _filesystem_of(path: Path) -> str:
    import psutil

    best = max(
        (part for part in psutil.disk_partitions(all=True) if path.is_relative_to(part.mountpoint)),
        key=lambda part: len(part.mountpoint),
        default=None,
    )
    return best.fstype if best else "unknown"


async def _disk(instance: Instance) -> Finding:
    import psutil

    free = psutil.disk_usage(str(instance.data)).free
    return _finding(
        "disk", free >= MIN_DISK, f"{free / 1e9:.1f} GB free", "free some space", severity=Verdict.WARN
    )


async def _memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available
    return _finding(
        "memory",
        free >= MIN_MEMORY,
        f"{free / 1e9:.1f} GB available",
        "two browsers take about 1 GB; lower `count` of [actor.driver] in supervisor.toml",
        severity=Verdict.WARN,
    )


async def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _finding(
        "open files",
        soft >= MIN_FILES,
        f"{soft} (hard limit {hard})",
        "ulimit -n 4096",
        severity=Verdict.WARN,
    )


async def _cluster(instance: Instance) -> Finding:
    from nerv.supervisor.control import running_info

    running = running_info(instance)
    found = f"runs, supervisor pid {running.pid}" if running else "not running"
    return Finding(what=f"cluster {instance.name}", verdict=Verdict.OK, found=found)
