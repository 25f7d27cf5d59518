"""The supervisor's parent: a few lines that outlive it and leave nobody behind. Standard library only.

``python -I -S watchdog.py [--detach] COMMAND...`` runs COMMAND (the supervisor) as its only child. When that
ends, however it ends, everything below is killed and reaped, then the watchdog ends with the same status.

Why a parent: it is the subreaper of all processes of the run, so an orphan, even one that made a session of its
own or cleared its environment, becomes its child. "No child left" (ECHILD) is then a proof, not a guess by name.
Why not the supervisor itself: SIGKILL cannot be caught. If the watchdog is killed instead, the supervisor sees
the end of the pipe ``NERV_WATCHDOG_FD`` and kills everything itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
GRACE_SECONDS = 0.3
"""Actors see the end of their parent pipe and clean up. Afterwards SIGKILL; promise P7 is two seconds in all."""
PAUSE_SECONDS = 0.02


def main(command: list[str]) -> int:
    if command[0] == "--detach":
        command = command[1:]
        if os.fork():
            os._exit(0)  # whoever started us has no child to wait for
        os.setsid()
    read_end, write_end = os.pipe()
    os.set_inheritable(read_end, True)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # Ctrl-C reaches the supervisor by itself: it is in the same foreground group of the terminal.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    forwarded = (signal.SIGTERM, signal.SIGHUP)
    signal.pthread_sigmask(signal.SIG_BLOCK, forwarded)
    child = os.posix_spawn(
        command[0],
        command,
        {**os.environ, "NERV_WATCHDOG_FD": str(read_end)},
        setsigmask=(),
        setsigdef=(signal.SIGINT,),
        file_actions=[(os.POSIX_SPAWN_CLOSE, write_end)],
    )
    os.close(read_end)
    for number in forwarded:
        signal.signal(number, lambda received, _frame: os.kill(child, received))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, forwarded)
    _, status = os.waitpid(child, 0)
    for number in forwarded:
        signal.signal(number, signal.SIG_IGN)  # its pid is free for others from here on
    end_all()
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    with contextlib.suppress(OSError):
        os.write(2, f"nerv: the supervisor was ended by signal {-code}; so was everything it ran\n".encode())
    return 128 - code


def end_all() -> None:
    """Return when no process below this one is left. Nothing to do after an ordered stop."""
    kill_from = time.monotonic() + GRACE_SECONDS
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        if time.monotonic() >= kill_from:
            for pid in below(os.getpid()):
                try:
                    os.kill(pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    continue
        time.sleep(PAUSE_SECONDS)


def below(root: int) -> list[int]:
    """Pids of all descendants, from /proc (elsewhere: none; there the parent pipes must do)."""
    children: dict[int, list[int]] = {}
    try:
        names = [name for name in os.listdir("/proc") if name.isdecimal()]
    except FileNotFoundError:
        return []
    for name in names:
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                text = file.read()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parent = int(text[text.rindex(b")") + 2 :].split()[1])
        children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        new = children.get(waiting.pop(), [])
        found += new
        waiting += new
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
