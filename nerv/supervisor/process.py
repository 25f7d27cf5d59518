"""One life of one actor: the operating system's process, its two pipes, and the news of its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import msgspec

MAX_STATUS_BYTES = 4096


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """Everything needed to start one life."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    output: int
    """Descriptor for stdout and stderr. Of a file, never a pipe: nobody's slow reading can stop the actor."""

    def discard(self) -> None:
        """It will not be used."""
        os.close(self.output)


class Process:
    """A child that was started; call :meth:`close` after its end.

    ``on_news`` is called in the loop whenever :attr:`ready`, :attr:`stopping` or :attr:`returncode` changed.
    """

    def __init__(self, launch: Launch, on_news: Callable[[], None]) -> None:
        """Start it; uses up ``launch``. Must run in the main thread: PDEATHSIG is tied to the thread that makes
        the child (bubblewrap 692). Raises OSError."""
        self.ready = False
        self.stopping = False
        self.returncode: int | None = None
        self._on_news = on_news
        self._loop = asyncio.get_running_loop()
        self._text = b""
        self._status, status_write = os.pipe()
        parent_read, self._parent = os.pipe()
        try:
            self._popen = subprocess.Popen(
                launch.argv,
                env={
                    **launch.environment,
                    "NERV_STATUS_FD": str(status_write),
                    "NERV_PARENT_FD": str(parent_read),
                },
                stdin=subprocess.DEVNULL,
                stdout=launch.output,
                stderr=launch.output,
                pass_fds=(status_write, parent_read),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._status)
            os.close(self._parent)
            raise
        finally:
            os.close(status_write)
            os.close(parent_read)
            launch.discard()
        self.pid = self._popen.pid
        os.set_blocking(self._status, False)
        self._loop.add_reader(self._status, self._read_status)
        self._watching_status = True
        self._watch_exit()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this very process; nothing happens if it has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)  # safe: a child keeps its pid until we reap it

    def close(self) -> None:
        """After its end: reap it and let go of the pipes. Until then nobody else can get its pid."""
        self._stop_status()
        os.close(self._status)
        os.close(self._parent)
        self._popen.wait()

    def _watch_exit(self) -> None:
        if sys.platform == "linux":
            descriptor = os.pidfd_open(self.pid)
            self._loop.add_reader(descriptor, self._ended, descriptor)
        else:
            threading.Thread(target=self._wait_in_thread, name=f"wait-{self.pid}", daemon=True).start()

    def _ended(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        # Look without reaping: the zombie holds the pid until the rest of its tree has been found and killed.
        end = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        assert end is not None  # a pidfd is readable only after the end
        self._tell_end(end.si_status if end.si_code == os.CLD_EXITED else -end.si_status)

    def _wait_in_thread(self) -> None:
        code = self._popen.wait()
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is left to tell
            self._loop.call_soon_threadsafe(self._tell_end, code)

    def _tell_end(self, code: int) -> None:
        self._read_status()
        self.returncode = code
        self._on_news()

    def _read_status(self) -> None:
        while self._watching_status:
            try:
                data = os.read(self._status, MAX_STATUS_BYTES)
            except BlockingIOError:
                break
            if not data:
                self._stop_status()
                break
            *lines, self._text = (self._text + data).split(b"\n")
            self._text = self._text[-MAX_STATUS_BYTES:]
            for line in lines:
                match line.strip():
                    case b"ready":
                        self.ready = True
                    case b"stopping":
                        self.stopping = True
        self._on_news()

    def _stop_status(self) -> None:
        if self._watching_status:
            self._watching_status = False
            self._loop.remove_reader(self._status)
