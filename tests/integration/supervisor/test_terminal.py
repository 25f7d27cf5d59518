"""A cluster in the foreground of a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from nerv.instance import Instance
from nerv.supervisor import running_info
from tests.integration.supervisor.harness import ROOT, alive, until

TREE = """
[group.bus]
[group.work]
[actor.bus]
group = "bus"
run = "nerv.bus.server:BusActor"
[actor.one]
group = "work"
run = "nerv.actor:Actor"
"""


@dataclass
class Terminal:
    """A cluster that runs in a terminal of its own; ``screen`` is the terminal's other end."""

    process: subprocess.Popen[bytes]
    screen: int
    text: bytes = b""

    def shows(self, words: bytes) -> bool:
        try:
            self.text += os.read(self.screen, 65536)
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            return words in self.text  # its last user has gone
        return words in self.text

    def ended(self) -> bool:
        return self.process.poll() is not None


@pytest.fixture
def instance(nerv_home: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    monkeypatch.setenv("NERV_HOME", str(nerv_home))
    found = Instance.locate()
    found.config.mkdir(parents=True)
    (found.config / "supervisor.toml").write_text(TREE)
    return found


IN_TERMINAL = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from nerv.instance import Instance
from nerv.supervisor import run_foreground
run_foreground(Instance.locate())
"""


@pytest.fixture
def terminal(instance: Instance) -> Iterator[Terminal]:
    screen, inside = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", IN_TERMINAL],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    os.close(inside)
    os.set_blocking(screen, False)
    yield Terminal(process, screen)
    process.kill()  # nothing if the test has passed; if not, the supervisor sees it and ends everything
    process.wait()


def members(instance: Instance) -> list[psutil.Process]:
    running = until("it runs", lambda: running_info(instance))
    top = psutil.Process(running.pid)
    return [top, *top.children(recursive=True)]


def test_ctrl_c_stops_in_order(instance: Instance, terminal: Terminal) -> None:
    until("all are ready", lambda: terminal.shows(b"2 actors in"))
    everyone = members(instance)
    os.write(terminal.screen, b"\x03")
    until("it says what it does", lambda: terminal.shows(b"stopping: interrupted"))
    until("it has ended", terminal.ended)
    os.close(terminal.screen)
    assert not alive(everyone)
    assert list(instance.runtime.rglob("*")) == []


def test_closing_the_terminal_stops_the_cluster_in_it(instance: Instance, terminal: Terminal) -> None:
    until("all are ready", lambda: terminal.shows(b"2 actors in"))
    everyone = members(instance)
    os.close(terminal.screen)
    until("it has ended", terminal.ended)
    assert not alive(everyone)
    assert list(instance.runtime.rglob("*")) == []


def test_sighup_with_the_terminal_still_there_reloads(instance: Instance, terminal: Terminal) -> None:
    until("all are ready", lambda: terminal.shows(b"2 actors in"))
    terminal.process.send_signal(signal.SIGHUP)
    until("it reloads", lambda: terminal.shows(b"reloaded"))
    terminal.process.send_signal(signal.SIGTERM)
    until("it has ended", terminal.ended)
    os.close(terminal.screen)
