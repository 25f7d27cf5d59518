"""The child's side of supervision: what every supervised process does before and around its own work.

`python -m nerv.child package.module:Class` reads its environment (docs/architecture.md), dies with its parent,
answers SIGTERM with a graceful stop and SIGABRT with a dump of all threads, and runs the class under uvloop.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import faulthandler
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import msgspec

from nerv.bus.envelope import Incarnation, new_incarnation
from nerv.errors import EXIT_CONFIGURATION, UNDECODABLE, ConfigurationError, invalid
from nerv.instance import Instance
from nerv.logs import ActorLog

EXIT_FAILED = 1
EXIT_PARENT_GONE = 75
"""The supervisor died; sysexits.h EX_TEMPFAIL."""
EXIT_FENCED = 76
"""A younger incarnation holds the name; sysexits.h EX_PROTOCOL."""

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, kw_only=True)
class ChildEnvironment:
    """What the supervisor tells a child (docs/architecture.md). Descriptors are None when run by hand."""

    instance: Instance
    actor: str
    incarnation: Incarnation
    run: str
    settings: dict[str, Any]
    status_fd: int | None
    parent_fd: int | None

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> ChildEnvironment:
        """Raises :class:`ConfigurationError` naming the variable."""
        actor = environ.get("NERV_ACTOR")
        if not actor:
            raise ConfigurationError(
                invalid("no name for this actor", field="NERV_ACTOR", fix="start it through `nerv up`")
            )
        try:
            settings = msgspec.json.decode(environ.get("NERV_SETTINGS") or "{}", type=dict[str, Any])
        except UNDECODABLE as error:
            raise ConfigurationError(
                invalid(
                    f"not a JSON object: {error}", field="NERV_SETTINGS", fix="start it through `nerv up`"
                )
            ) from None
        return cls(
            instance=Instance.locate(environ=dict(environ)),
            actor=actor,
            incarnation=Incarnation(environ.get("NERV_INCARNATION") or new_incarnation()),
            run=environ.get("NERV_RUN", ""),
            settings=settings,
            status_fd=_descriptor(environ, "NERV_STATUS_FD"),
            parent_fd=_descriptor(environ, "NERV_PARENT_FD"),
        )


def _descriptor(environ: Mapping[str, str], variable: str) -> int | None:
    text = environ.get(variable)
    if not text:
        return None
    try:
        fd = int(text)
        os.fstat(fd)
    except (ValueError, OSError) as error:
        raise ConfigurationError(
            invalid(
                f"{text!r} is no open file descriptor: {error}",
                field=variable,
                fix="start it through `nerv up`",
            )
        ) from None
    os.set_inheritable(fd, False)
    return fd


class Life:
    """One run of a child: says when it is ready and stopping, hears when it shall stop."""

    def __init__(self, environment: ChildEnvironment, log: ActorLog | None = None) -> None:
        self.environment = environment
        self.log = log
        self.stop = asyncio.Event()
        """Set by SIGTERM or SIGINT: drain and end."""

    def ready(self) -> None:
        self._report(b"ready\n")

    def stopping(self) -> None:
        self._report(b"stopping\n")

    def _report(self, line: bytes) -> None:
        fd = self.environment.status_fd
        if fd is not None:
            # A supervisor that is gone cannot be told; the parent watch ends this process.
            with contextlib.suppress(BrokenPipeError):
                os.write(fd, line)


class Fenced(Exception):
    """A younger incarnation took over this actor's name."""


class Runnable(Protocol):
    """What `python -m nerv.child` can run: made without arguments, ends when ``life.stop`` is set."""

    async def run(self, life: Life) -> None: ...


def die_with_parent(environment: ChildEnvironment) -> None:
    """End this process group as soon as the supervisor is gone, even if the event loop hangs.

    The pipe's end is the sign: a thread of its own waits for it. PDEATHSIG is the backstop; it is tied to the
    thread of the parent that made us, so it is armed here, in the main thread, and getppid checked after (the
    parent may have died before). Without a supervisor (run by hand) nothing is watched.
    """
    fd = environment.parent_fd
    if fd is None:
        return
    if sys.platform == "linux":
        parent = os.getppid()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != parent:
            end_process_group()
    threading.Thread(target=_watch_parent, args=(fd,), name="parent-watch", daemon=True).start()


def _watch_parent(fd: int) -> None:
    while True:
        try:
            if os.read(fd, 64) == b"":
                end_process_group()
        except InterruptedError:
            continue
        except OSError:
            end_process_group()


def end_process_group() -> NoReturn:
    """Kill everything this child started, and itself. Only when it leads its own group: never the parent's."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(EXIT_PARENT_GONE)


def install_signals(life: Life, loop: asyncio.AbstractEventLoop) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, life.stop.set)


def load(path: str) -> type[Runnable]:
    """The class that ``package.module:Class`` names; raises :class:`ConfigurationError`."""
    module_name, _, class_name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            invalid(f"cannot load {path!r}: {error}", field="run", fix="write it as package.module:Class")
        ) from error
    if not callable(getattr(found, "run", None)):
        raise ConfigurationError(
            invalid(
                f"{path!r} has no method `run`", field="run", fix="name a class derived from nerv.actor.Actor"
            )
        )
    chosen: type[Runnable] = found
    return chosen


async def _live(runnable: type[Runnable], environment: ChildEnvironment, log: ActorLog) -> None:
    life = Life(environment, log)
    install_signals(life, asyncio.get_running_loop())
    await runnable().run(life)


def run_child(runnable: type[Runnable], environ: Mapping[str, str] | None = None) -> int:
    """Run to the end; the exit status: 0, 1 failed, 76 fenced, 78 wrong configuration."""
    faulthandler.enable(all_threads=True)  # SIGABRT: dump every thread's stack to stderr, then die
    try:
        environment = ChildEnvironment.read(os.environ if environ is None else environ)
    except ConfigurationError as error:
        print(f"nerv: {error}", file=sys.stderr)
        return EXIT_CONFIGURATION
    die_with_parent(environment)
    with ActorLog(environment.instance.logs, environment.actor, environment.incarnation) as actor_log:
        log = logging.getLogger("nerv.child")
        try:
            if sys.platform == "win32":
                asyncio.run(_live(runnable, environment, actor_log))
            else:
                import uvloop

                uvloop.run(_live(runnable, environment, actor_log))
        except ConfigurationError as error:
            log.error("configuration refused: %s", error)
            print(f"nerv: {environment.actor}: {error}", file=sys.stderr)
            return EXIT_CONFIGURATION
        except Fenced as error:
            log.error("fenced: %s", error)
            return EXIT_FENCED
        except Exception:
            log.exception("actor failed")
            return EXIT_FAILED
    return 0


def main() -> NoReturn:
    if len(sys.argv) != 2:
        print("usage: python -m nerv.child package.module:Class", file=sys.stderr)
        sys.exit(EXIT_CONFIGURATION)
    try:
        runnable = load(sys.argv[1])
    except ConfigurationError as error:
        print(f"nerv: {error}", file=sys.stderr)
        sys.exit(EXIT_CONFIGURATION)
    status = run_child(runnable)
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(status)


if __name__ == "__main__":
    # Run as the module it is: `nerv.child.Fenced` of an actor must be the class that `run_child` catches.
    from nerv.child import main as run_main

    run_main()
