"""The supervisor's log never makes it wait."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from nerv.supervisor import journal as module
from nerv.supervisor.journal import CAPACITY, Journal


def lines(path: Path) -> list[dict[str, object]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def test_the_file_takes_everything_and_the_terminal_what_a_person_wants(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    journal = Journal(tmp_path / "log", terminal=write_end)
    journal.write("debug", "small")
    journal.write("info", "ready", actor="bus", detail="pid 1")
    journal.write("error", "parked", actor="one")
    journal.close()
    os.close(write_end)
    assert [line["event"] for line in lines(tmp_path / "log")] == ["small", "ready", "parked"]
    with os.fdopen(read_end) as terminal:
        assert [line.split() for line in terminal] == [["bus", "ready:", "pid", "1"], ["‼", "one", "parked"]]


def test_a_terminal_that_nobody_reads_holds_nobody_and_the_file_goes_on(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    journal = Journal(tmp_path / "log", terminal=write_end)
    for number in range(3 * CAPACITY):
        journal.write("info", "x" * 100, detail=str(number))
    os.close(read_end)  # the stuck writer ends with an error, which it survives
    journal.close(5.0)
    os.close(write_end)
    written = lines(tmp_path / "log")
    dropped = sum(int(str(line["count"])) for line in written if line["event"] == "log lines dropped")
    assert sum(line["event"] == "x" * 100 for line in written) + dropped == 3 * CAPACITY


def test_the_file_is_turned_over_at_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 500)
    journal = Journal(tmp_path / "log", terminal=None)
    for number in range(8):
        journal.write("info", "y" * 50, detail=str(number))
    journal.close()
    assert (tmp_path / "log.1").exists()
    assert (tmp_path / "log").stat().st_size < 500 if (tmp_path / "log").exists() else True


def test_warnings_are_announced_and_chatter_is_not(tmp_path: Path) -> None:
    said: list[str] = []
    journal = Journal(tmp_path / "log", terminal=None)
    journal.announce = lambda at, level, actor, event, detail: said.append(f"{level} {actor} {event}")
    journal.write("info", "ready")
    journal.write("warning", "slow", actor="one")
    journal.close()
    assert said == ["warning one slow"]
