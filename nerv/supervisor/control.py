"""Starting, finding and stopping a supervisor from outside: what `nerv up`, `nerv down` and tests call.

All functions are blocking and raise :class:`nerv.errors.NervError` with a reason and a fix.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import msgspec

from nerv.errors import ErrorCode, ErrorInfo, NervError
from nerv.instance import Instance
from nerv.messages import ActorState, ActorStatus
from nerv.supervisor import watchdog
from nerv.supervisor.bytecode import with_bytecode
from nerv.supervisor.lock import (
    AlreadyRunning,
    InstanceLock,
    Running,
    clear_runtime,
    refusal,
    running_info,
    secure_runtime,
)
from nerv.supervisor.progress import Report

POLL_SECONDS = 0.02
END_SECONDS = 5.0
LAST_WORDS_BYTES = 4096
SUPERVISOR_OUTPUT = "supervisor.out"


def command_line(
    instance: Instance, config: Path | None = None, *, quiet: bool = False, detach: bool = False
) -> list[str]:
    """The watchdog, with the supervisor below it."""
    line = [sys.executable, "-I", "-S", watchdog.__file__, *(["--detach"] if detach else [])]
    line += [sys.executable, "-m", "nerv.supervisor", "--instance", instance.name]
    if config is not None:
        line += ["--config", str(config.absolute())]
    return [*line, "--quiet"] if quiet else line


def run_foreground(instance: Instance, config: Path | None = None, *, quiet: bool = False) -> NoReturn:
    """Become the cluster: replaces this process, shows progress on stderr, ends when the cluster has stopped.

    The exit status is then the supervisor's: 0 after an ordered stop, 2 for a wrong configuration, 1 for an
    instance that already runs or a defect, 137 if it was killed.
    """
    line = command_line(instance, config, quiet=quiet)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(line[0], line, with_bytecode(os.environ))


def start_detached(
    instance: Instance,
    config: Path | None = None,
    *,
    timeout: float = 60.0,
    note: Callable[[str], None] = lambda text: None,
) -> Running:
    """Start a supervisor that outlives this process; returns when every actor is ready.

    If that is not reached within ``timeout`` seconds, or an actor refuses its configuration or keeps failing,
    everything is stopped again and the reason is raised. ``note`` is called with lines for a person.
    """
    if holder := running_info(instance):
        raise refusal(instance, holder)
    secure_runtime(instance)
    read_end, write_end = os.pipe()
    output = instance.logs / SUPERVISOR_OUTPUT
    try:
        with output.open("ab") as sink:
            subprocess.run(
                command_line(instance, config, detach=True),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env={**with_bytecode(os.environ), "NERV_PROGRESS_FD": str(write_end)},
                pass_fds=(write_end,),
                timeout=timeout,
                check=True,
            )
    except (OSError, subprocess.SubprocessError) as error:
        os.close(read_end)
        raise NervError(
            ErrorInfo(code=ErrorCode.INTERNAL, reason=f"cannot start the supervisor: {error}")
        ) from None
    finally:
        os.close(write_end)
    until = time.monotonic() + timeout
    try:
        problem = _follow(read_end, until, note, instance)
    except NervError:
        _await_end(read_end)
        raise
    finally:
        os.close(read_end)
    if problem is not None:
        stop_running(instance)
        raise NervError(problem)
    running = running_info(instance)
    if running is None:
        raise NervError(_ended_early(instance))
    return running


def _follow(
    descriptor: int, until: float, note: Callable[[str], None], instance: Instance
) -> ErrorInfo | None:
    """Wait for the end of the start; what went wrong, or None."""
    states: dict[str, ActorState] = {}
    for report in _reports(descriptor, until):
        if report.error is not None:
            raise NervError(report.error)
        if report.ready:
            return None
        if report.actor is not None:
            actor = report.actor
            states[actor.name] = actor.state
            note(f"{actor.name} is {actor.state}" + (f" after {actor.last_exit}" if actor.last_exit else ""))
            if actor.state in (ActorState.REFUSED, ActorState.PARKED):
                return _no_start(instance, actor)
    if time.monotonic() < until:
        return _ended_early(instance)
    waiting = ", ".join(name for name, state in states.items() if state is not ActorState.READY)
    return ErrorInfo(
        code=ErrorCode.DEADLINE,
        reason=f"not ready in time: {waiting or 'the supervisor'}",
        fix=f"look into {instance.logs}, or give more --timeout",
    )


def _await_end(descriptor: int) -> None:
    """The supervisor has said why it ends: wait until it and its watchdog have let go of the pipe."""
    until = time.monotonic() + END_SECONDS
    for _ in _reports(descriptor, until):
        continue


def _no_start(instance: Instance, actor: ActorStatus) -> ErrorInfo:
    refused = actor.state is ActorState.REFUSED
    words = last_words(instance.logs / f"{actor.name}.out")
    return ErrorInfo(
        code=ErrorCode.INVALID if refused else ErrorCode.INTERNAL,
        reason=f"{actor.name} cannot start: {words or actor.last_exit or actor.state}",
        field=f"actor.{actor.name}" if refused else None,
        fix=f"its log is {instance.logs / actor.name}.jsonl, its output {actor.name}.out beside it",
    )


def _ended_early(instance: Instance) -> ErrorInfo:
    output = instance.logs / SUPERVISOR_OUTPUT
    return ErrorInfo(
        code=ErrorCode.INTERNAL,
        reason=f"the supervisor ended while it started: {last_words(output) or 'without a word'}",
        fix=f"its output is {output}",
    )


def last_words(output: Path) -> str:
    """The last line that is not empty of what a process wrote, without the prefix of our own messages."""
    try:
        with output.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line.strip().removeprefix("nerv: ") for line in reversed(lines) if line.strip()), "")


def _reports(descriptor: int, until: float) -> Iterator[Report]:
    text = b""
    while (left := until - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            return
        data = os.read(descriptor, 65536)
        if not data:
            return
        *lines, text = (text + data).split(b"\n")
        for line in lines:
            yield msgspec.json.decode(line, type=Report)


def stop_running(
    instance: Instance,
    *,
    timeout: float = 75.0,
    force: bool = False,
    on_wait: Callable[[float], None] = lambda seconds: None,
) -> int | None:
    """Stop the instance in order and wait until nothing of it is left; the pid of its supervisor, None if not running.

    ``force``: no order, everything is killed at once (accepted tasks survive that, as they survive a power cut).
    ``on_wait`` is called now and then with the seconds waited. Raises DEADLINE after ``timeout`` seconds.
    """
    holder = running_info(instance)
    if holder is None:
        return None
    began = time.monotonic()
    number = signal.SIGKILL if force else signal.SIGTERM
    with contextlib.ExitStack() as stack:
        watched = [
            stack.enter_context(_Watched(pid)) for pid in (holder.pid, holder.watchdog_pid) if pid is not None
        ]
        # The pid could have been given to another process since: signal only while the lock is still held by it.
        if running_info(instance) == holder:
            with contextlib.suppress(ProcessLookupError):
                os.kill(holder.pid, number)
        while any(one.alive() for one in watched) or running_info(instance) == holder:
            waited = time.monotonic() - began
            if waited > timeout:
                raise NervError(
                    ErrorInfo(
                        code=ErrorCode.DEADLINE,
                        reason=f"the supervisor (pid {holder.pid}) has not stopped within {timeout:g} s",
                        fix="`nerv down --force` kills everything of this instance; no accepted task is lost by it",
                    )
                )
            on_wait(waited)
            time.sleep(POLL_SECONDS)
    if force:
        _tidy(instance)
    return holder.pid


def reload_running(instance: Instance) -> bool:
    """Ask for a reload by SIGHUP, for when the bus is down; False if the instance is not running."""
    holder = running_info(instance)
    if holder is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(holder.pid, signal.SIGHUP)
    return True


def _tidy(instance: Instance) -> None:
    """What a killed supervisor could not remove itself."""
    lock = InstanceLock(instance)
    lock.acquire(Running(pid=os.getpid(), started_at=time.time(), run=""))
    clear_runtime(instance)
    lock.release()


class _Watched:
    """Whether one process, none of ours, still lives; a pidfd cannot be fooled by a pid given away again."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._descriptor: int | None = None
        self._gone = False

    def __enter__(self) -> _Watched:
        if sys.platform == "linux":
            try:
                self._descriptor = os.pidfd_open(self._pid)
            except ProcessLookupError:
                self._gone = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def alive(self) -> bool:
        if self._gone:
            return False
        if self._descriptor is not None:
            return not select.select([self._descriptor], [], [], 0)[0]
        try:
            os.kill(self._pid, 0)
        except ProcessLookupError:
            return False
        return True


__all__ = (
    "AlreadyRunning",
    "Running",
    "command_line",
    "reload_running",
    "run_foreground",
    "running_info",
    "start_detached",
    "stop_running",
)
