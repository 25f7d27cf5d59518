"""One supervisor per instance: a lock in a runtime directory that belongs to this user alone."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import time
from pathlib import Path

import msgspec

from nerv.errors import ConfigurationError, ErrorCode, ErrorInfo, NervError, invalid
from nerv.instance import Instance

PROBE_SECONDS = 0.5
"""`nerv status` holds the lock for a moment to learn whether somebody else does: try for so long."""


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs an instance; the content of the lock file."""

    pid: int
    started_at: float
    run: str
    watchdog_pid: int | None = None


class AlreadyRunning(NervError):
    """Another supervisor holds the instance."""


def run_prefix(instance: Instance) -> str:
    """Begins every run marker of an instance, so that what an earlier run left can be told from other instances'."""
    place = os.fsencode(instance.runtime.resolve())
    return f"nerv-{hashlib.blake2s(place, digest_size=4).hexdigest()}-"


def new_run_marker(instance: Instance) -> str:
    """On the command line and in the environment of every process of a run."""
    return run_prefix(instance) + os.urandom(4).hex()


def secure_runtime(instance: Instance) -> None:
    """Make the directories of the instance; refuse a runtime directory that others could have prepared.

    It may be below /tmp, where anybody can make a directory or a symbolic link of the same name first.
    Raises :class:`ConfigurationError`.
    """
    try:
        for folder in (instance.runtime.parent, instance.runtime):
            folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not os.path.lexists(folder):
                folder.mkdir(mode=0o700, exist_ok=True)
            _refuse_foreign(folder)
        instance.create()
    except OSError as error:
        raise ConfigurationError(
            invalid(
                f"cannot make the directories of instance {instance.name!r}: {error}",
                field="instance",
                fix="check permissions and free space, or set NERV_HOME to a folder of yours",
            )
        ) from None


def _refuse_foreign(folder: Path) -> None:
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode):
        problem = "is a symbolic link"
    elif not stat.S_ISDIR(found.st_mode):
        problem = "is no directory"
    elif found.st_uid != os.getuid():
        problem = f"belongs to user {found.st_uid}, not to you"
    else:
        return
    raise ConfigurationError(
        invalid(
            f"the runtime directory {folder} {problem}",
            field="runtime",
            fix="remove it, or set NERV_HOME or XDG_RUNTIME_DIR to a folder of yours",
        )
    )


class InstanceLock:
    """Held from :meth:`acquire` to :meth:`release`, or to the end of this process."""

    def __init__(self, instance: Instance) -> None:
        self._path = instance.supervisor_lock
        self._instance = instance
        self._descriptor: int | None = None

    def acquire(self, running: Running) -> None:
        """Take the lock and write who we are; raises :class:`AlreadyRunning`, naming the holder's pid."""
        until = time.monotonic() + PROBE_SECONDS
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                if time.monotonic() < until:
                    time.sleep(0.05)
                    continue
                raise refusal(self._instance, _read(self._path)) from None
            if _same_file(descriptor, self._path):
                break
            os.close(descriptor)  # its holder removed it between our open and our lock
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(running) + b"\n", 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Remove the file first, then let go: the other way round a newcomer's lock would be removed."""
        if self._descriptor is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None


def refusal(instance: Instance, holder: Running | None) -> AlreadyRunning:
    """What a second supervisor is told."""
    who = f" by the supervisor with pid {holder.pid}" if holder else ""
    return AlreadyRunning(
        ErrorInfo(
            code=ErrorCode.CONFLICT,
            reason=f"instance {instance.name!r} is already run{who}",
            field="instance",
            fix="stop it with `nerv down`, or choose another one with --instance",
        )
    )


def running_info(instance: Instance) -> Running | None:
    """Who runs the instance now; None if nobody does, whatever file an earlier run left."""
    try:
        descriptor = os.open(instance.supervisor_lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(instance.supervisor_lock)
    finally:
        os.close(descriptor)
    return None


def clear_runtime(instance: Instance) -> None:
    """Remove sockets, the broker's lock and scratch folders. Only while nothing of the instance runs."""
    for path in (
        instance.command_socket,
        instance.event_in_socket,
        instance.event_out_socket,
        instance.bus_lock,
    ):
        path.unlink(missing_ok=True)
    shutil.rmtree(instance.scratch, ignore_errors=True)


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _read(path: Path) -> Running | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Running)
    except (OSError, msgspec.MsgspecError):
        return None  # it went away, or its holder is just writing it
