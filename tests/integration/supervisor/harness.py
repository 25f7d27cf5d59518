"""A real supervisor below its real watchdog, with small children; and waiting with a deadline."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
import psutil

from nerv.instance import Instance
from nerv.supervisor import watchdog
from nerv.supervisor.bytecode import with_bytecode
from nerv.supervisor.lock import Running, running_info

RUNNER = Path(__file__).with_name("runner.py")
ROOT = Path(__file__).resolve().parents[3]

T = TypeVar("T")


def until(what: str, condition: Callable[[], T | None], seconds: float = 20.0) -> T:
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)
    return answer


class Entry(msgspec.Struct, frozen=True):
    """One line of the children's log."""

    at: float
    actor: str
    word: str
    pid: int


@dataclass(kw_only=True)
class Rig:
    """One instance. ``tree``: the text of its supervisor.toml, in which LOG stands for the children's log."""

    home: Path
    tree: str
    watched: bool = True
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.instance = Instance.locate(environ={"NERV_HOME": str(self.home)})
        self.config = self.home / "supervisor.toml"
        self.log = self.home / "children.log"
        self.write(self.tree)

    def write(self, tree: str) -> None:
        self.config.write_text(tree.replace("LOG", f'log = "{self.log}"'))

    def start(self) -> None:
        command = [sys.executable, str(RUNNER), str(self.config)]
        if self.watched:
            command = [sys.executable, "-I", "-S", watchdog.__file__, *command]
        with (self.home / "stderr").open("ab") as stderr:
            self._process = subprocess.Popen(
                command,
                env={**with_bytecode(os.environ), "NERV_HOME": str(self.home), "PYTHONPATH": str(ROOT)},
                stderr=stderr,
            )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def running(self) -> Running:
        return until("the supervisor holds the lock", lambda: running_info(self.instance))

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 20.0) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(seconds)

    def entries(self, actor: str | None = None, word: str | None = None) -> list[Entry]:
        found = []
        for line in self.log.read_text().splitlines() if self.log.exists() else []:
            at, name, said, pid = line.split()
            if actor in (None, name) and word in (None, said):
                found.append(Entry(float(at), name, said, int(pid)))
        return found

    def order(self, word: str) -> list[str]:
        return [entry.actor for entry in self.entries(word=word)]

    def wait_ready(self, *actors: str, times: int = 1) -> None:
        for actor in actors:

            def ready(actor: str = actor) -> bool:
                return len(self.entries(actor, "ready")) >= times

            until(f"{actor} is ready {times}×\n{self.said()}", ready)

    def pid(self, actor: str) -> int:
        return self.entries(actor, "start")[-1].pid

    def said(self) -> str:
        return (self.home / "stderr").read_text() if (self.home / "stderr").exists() else ""

    def events(self, event: str, actor: str | None = None) -> list[dict[str, object]]:
        path = self.instance.logs / "supervisor.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [msgspec.json.decode(line) for line in lines]
        return [one for one in found if one["event"] == event and actor in (None, one["actor"])]

    def family(self) -> list[psutil.Process]:
        """The supervisor and every process below it, now."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def files_left(self) -> list[Path]:
        return list(self.instance.runtime.rglob("*"))

    def destroy(self) -> None:
        """For fixtures: end whatever the test left."""
        if self._process is not None and self._process.poll() is None:
            for process in reversed(self.family()):
                process.kill()
            self._process.wait(10)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; psutil knows a pid that was given away by its birth."""
    return [one for one in processes if _runs(one)]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False  # it ended between the two questions
