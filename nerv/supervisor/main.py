"""The process of the supervisor: ``python -m nerv.supervisor``, started by the watchdog."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path

from nerv.errors import ConfigurationError, ErrorCode, ErrorInfo, NervError
from nerv.instance import Instance
from nerv.supervisor.journal import Journal
from nerv.supervisor.kill_tree import kill_descendants, kill_marked
from nerv.supervisor.launch import Command, actor_command
from nerv.supervisor.link import BusLink
from nerv.supervisor.lock import (
    InstanceLock,
    Running,
    clear_runtime,
    new_run_marker,
    run_prefix,
    secure_runtime,
)
from nerv.supervisor.progress import Progress
from nerv.supervisor.specification import Specification, find_specification, load_specification
from nerv.supervisor.supervisor import Supervisor
from nerv.supervisor.watchdog import PR_SET_CHILD_SUBREAPER

EXIT_FAILED = 1
EXIT_CONFIGURATION = 2
"""As in the table of the `nerv` command, which becomes this process."""
EXIT_WATCHDOG_LOST = 137
WATCHDOG_GRACE_SECONDS = 0.5


def main(arguments: list[str] | None = None) -> int:
    """Run one instance in this process until it is stopped; the return value is the exit status."""
    parser = argparse.ArgumentParser(prog="python -m nerv.supervisor", description=__doc__)
    parser.add_argument("--instance", default=None)
    parser.add_argument("--config", type=Path, default=None)
    parser.add_argument("--quiet", action="store_true", help="only warnings and errors on stderr")
    options = parser.parse_args(arguments)
    descriptor = os.environ.get("NERV_PROGRESS_FD")
    progress = Progress(int(descriptor) if descriptor else None)
    try:
        return run_supervisor(
            Instance.locate(options.instance), options.config, progress=progress, quiet=options.quiet
        )
    except NervError as error:
        progress.error(error.info)
        sys.stderr.write(f"nerv: {error}\n")
        return EXIT_CONFIGURATION if isinstance(error, ConfigurationError) else EXIT_FAILED


def run_supervisor(
    instance: Instance,
    config: Path | None = None,
    *,
    progress: Progress | None = None,
    quiet: bool = False,
    command: Command = actor_command,
) -> int:
    """Check everything, take the instance, run until stopped. Raises :class:`NervError` before anything starts."""
    path = find_specification(instance, config)
    specification = load_specification(path)
    secure_runtime(instance)
    run = new_run_marker(instance)
    lock = InstanceLock(instance)
    watchdog = os.environ.get("NERV_WATCHDOG_FD")
    lock.acquire(
        Running(
            pid=os.getpid(),
            started_at=time.time(),
            run=run,
            watchdog_pid=os.getppid() if watchdog else None,
        )
    )
    journal = Journal(instance.logs / "supervisor.jsonl", terminal=sys.stderr.fileno(), quiet=quiet)
    try:
        _sweep(instance, journal)
        _become_subreaper()
        code = asyncio.run(
            _run(instance, path, specification, run, journal, progress or Progress(), command, watchdog)
        )
        left = kill_descendants(os.getpid())
        if left:
            journal.write("error", "left-over processes", detail=f"pids {sorted(left)} survive SIGKILL")
        clear_runtime(instance)
        journal.write("info", "stopped")
        return code
    finally:
        journal.close()
        lock.release()


async def _run(
    instance: Instance,
    path: Path,
    specification: Specification,
    run: str,
    journal: Journal,
    progress: Progress,
    command: Command,
    watchdog: str | None,
) -> int:
    supervisor = Supervisor(
        instance=instance,
        config=path,
        specification=specification,
        run=run,
        journal=journal,
        link=BusLink(instance, journal),
        progress=progress,
        command=command,
    )
    loop = asyncio.get_running_loop()
    if watchdog:
        _watch_watchdog(int(watchdog), loop, supervisor)
    terminal = _has_terminal()

    def hang_up() -> None:
        # SIGHUP is also what a terminal sends when it closes; a cluster that runs in it ends with it.
        if terminal and not _has_terminal():
            supervisor.request_stop("the terminal is gone")
        else:
            supervisor.request_reload()

    loop.add_signal_handler(signal.SIGTERM, supervisor.request_stop, "SIGTERM")
    loop.add_signal_handler(signal.SIGINT, supervisor.interrupt)
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    return await supervisor.run()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _sweep(instance: Instance, journal: Journal) -> None:
    """End what a killed run left, and remove its sockets. We hold the lock: nobody of that run is in charge."""
    survivors = kill_marked(run_prefix(instance))
    if survivors:
        raise NervError(
            ErrorInfo(
                code=ErrorCode.CONFLICT,
                reason=f"processes of an earlier run cannot be ended: pids {sorted(survivors)}",
                field="instance",
                fix="end them yourself, then try again",
            )
        )
    clear_runtime(instance)
    instance.scratch.mkdir(mode=0o700, exist_ok=True)
    journal.write("debug", "swept")


def _become_subreaper() -> None:
    """Orphans of our actors become our children, so that they can be found and reaped. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _watch_watchdog(descriptor: int, loop: asyncio.AbstractEventLoop, supervisor: Supervisor) -> None:
    """If the watchdog dies, nobody would end our tree after us: end it now. A thread, as the loop may hang."""
    os.set_inheritable(descriptor, False)

    def wait() -> None:
        os.read(descriptor, 1)
        try:
            loop.call_soon_threadsafe(supervisor.request_stop, "the watchdog is gone")
        except RuntimeError:
            return  # the loop has ended: so has everything else
        time.sleep(WATCHDOG_GRACE_SECONDS)
        kill_descendants(os.getpid())
        os._exit(EXIT_WATCHDOG_LOST)

    threading.Thread(target=wait, name="watchdog", daemon=True).start()
