"""supervisor.toml: what it may say, and how each mistake is named by line, key and fix."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerv.errors import ConfigurationError, ErrorInfo
from nerv.instance import Instance
from nerv.supervisor.restart import RestartType, Strategy
from nerv.supervisor.source_lines import SourceLines
from nerv.supervisor.specification import (
    Difference,
    Specification,
    difference,
    find_specification,
    load_specification,
    parse,
)

PATH = Path("supervisor.toml")
BUS = """\
[group.bus]
[actor.bus]
group = "bus"
run = "json:Bus"
"""


def read(text: str) -> Specification:
    return parse(text, PATH)


def mistake(text: str) -> ErrorInfo:
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    return caught.value.info


def test_the_file_that_nerv_ships_is_valid_and_starts_two_drivers() -> None:
    path = Path(__file__).resolve().parents[4] / "supervisor.toml"
    shipped = parse(path.read_text(), path, check_modules=False)
    names = [actor.name for actor in shipped.actors]
    assert names == ["bus", "store", "queue", "kernel", "driver-1", "driver-2", "telemetry"]
    assert shipped.group("core").strategy is Strategy.REST_FOR_ONE


def test_an_actor_that_says_nothing_takes_the_defaults_of_the_supervisor_table() -> None:
    bus = read("[supervisor]\nstop_seconds = 3\ntick_seconds = 0.5\ntick_misses = 4\n" + BUS).actors[0]
    assert (bus.stop_seconds, bus.silence_seconds, bus.restart) == (3.0, 2.0, RestartType.PERMANENT)
    assert bus.memory_bytes is None


def test_its_own_limits_win() -> None:
    bus = read(BUS + "stop_seconds = 1.5\nmemory_mb = 200\nrestart_limit = 2\n").actors[0]
    assert (bus.stop_seconds, bus.memory_bytes, bus.policy.limit) == (1.5, 200_000_000, 2)


def test_a_count_makes_numbered_actors_even_when_it_is_one() -> None:
    text = BUS + '[actor.driver]\ngroup = "bus"\nrun = "json:D"\ncount = '
    assert [actor.name for actor in read(text + "3").actors] == ["bus", "driver-1", "driver-2", "driver-3"]
    assert [actor.name for actor in read(text + "1").actors] == ["bus", "driver-1"]
    assert [actor.name for actor in read(text + "0").actors] == ["bus"]


def test_actors_come_in_the_order_of_their_groups_then_of_the_file() -> None:
    text = """
[group.bus]
[group.late]
[actor.z]
group = "late"
run = "json:Z"
[actor.a]
group = "late"
run = "json:A"
[actor.bus]
group = "bus"
run = "json:B"
"""
    assert [actor.name for actor in read(text).actors] == ["bus", "z", "a"]


def test_a_group_waits_for_the_one_above_it_unless_it_says_otherwise() -> None:
    groups = read(BUS + '[group.one]\n[group.two]\nafter = ["bus"]\n[group.three]\nafter = []\n').groups
    assert [group.after for group in groups] == [(), ("bus",), ("bus",), ()]


def test_settings_reach_the_actor_as_json() -> None:
    bus = read(BUS + '[actor.bus.settings]\nport = 1\ndeep = { a = ["x"] }\n').actors[0]
    assert msgspec.json.decode(bus.settings) == {"port": 1, "deep": {"a": ["x"]}}


@pytest.mark.parametrize(
    ("text", "line", "field", "words"),
    [
        ("[supervisor]\nstop_second = 1\n" + BUS, 2, "supervisor.stop_second", "did you mean 'stop_seconds'"),
        ("[actors.bus]\n" + BUS, 1, "actors", "did you mean 'actor'"),
        (BUS + 'restart = "always"\n', 5, "actor.bus.restart", "permanent, transient, temporary"),
        (BUS + 'restart = "permanant"\n', 5, "actor.bus.restart", "did you mean 'permanent'"),
        (BUS + 'memory_mb = "2 GB"\n', 5, "actor.bus.memory_mb", "whole number"),
        (BUS + "start_seconds = -1\n", 5, "actor.bus.start_seconds", "> 0"),
        (BUS + "count = 1000\n", 5, "actor.bus.count", "256"),
        ('[group.bus]\n\n[actor.bus]\ngroup = "bus"\n', 3, "actor.bus.run", "is missing"),
        (BUS.replace('group = "bus"', 'group = "bvs"'), 3, "actor.bus.group", "did you mean 'bus'"),
        (BUS.replace("json:Bus", "json"), 4, "actor.bus.run", "module:Class"),
        (BUS.replace("json:Bus", "jsonn:Bus"), 4, "actor.bus.run", "no module 'jsonn'"),
        (BUS.replace("json:Bus", "no.such.room:Bus"), 4, "actor.bus.run", "no module"),
        ('[group.x]\nafter = ["y"]\n' + BUS, 2, "group.x.after", "no group written above"),
        ('[group.x]\nstrategy = "all"\n' + BUS, 2, "group.x.strategy", "one_for_all"),
        ("[group.bus]\n", 1, "actor", "add [actor.bus]"),
        (BUS + '[actor.supervisor]\ngroup = "bus"\nrun = "json:X"\n', 5, "actor.supervisor", "taken"),
        (BUS + '[actor."Big Name"]\ngroup = "bus"\nrun = "json:X"\n', 5, "actor.Big Name", "no name"),
        (
            BUS
            + '[actor.d-1]\ngroup = "bus"\nrun = "json:X"\n[actor.d]\ngroup = "bus"\nrun = "json:X"\ncount = 1\n',
            8,
            "actor.d",
            "second actor called 'd-1'",
        ),
        ("[supervisor]\nbackoff_max_seconds = 0.1\n" + BUS, 2, "supervisor.backoff_max_seconds", "smaller"),
        ("actor = 3\n", 1, "actor", "no table"),
        (BUS + "[actor]\nx = 1\n", 6, "actor.x", "no table"),
    ],
)
def test_each_mistake_is_named_by_file_line_key_and_fix(text: str, line: int, field: str, words: str) -> None:
    found = mistake(text)
    assert found.reason.startswith(f"supervisor.toml, line {line}: "), found
    assert found.field == field
    assert found.fix
    assert words in str(found)


def test_a_syntax_error_is_named_by_its_line() -> None:
    found = mistake(BUS + "memory_mb = = 3\n")
    assert found.reason.startswith("supervisor.toml, line 5: no valid TOML")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        load_specification(tmp_path / "missing.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_specification(binary)


def test_the_users_own_file_wins_over_the_shipped_one_and_a_given_one_over_both(tmp_path: Path) -> None:
    instance = Instance.locate(environ={"NERV_HOME": str(tmp_path)})
    assert find_specification(instance).name == "supervisor.toml"
    own = instance.config / "supervisor.toml"
    own.parent.mkdir(parents=True)
    own.touch()
    assert find_specification(instance) == own
    assert find_specification(instance, tmp_path / "given.toml") == tmp_path / "given.toml"


DRIVERS = BUS + '[actor.driver]\ngroup = "bus"\nrun = "json:D"\ncount = {count}\nmemory_mb = {memory}\n'


def drivers(count: int = 2, memory: int = 100, settings: str = "") -> Specification:
    return read(DRIVERS.format(count=count, memory=memory) + settings)


def test_a_reload_touches_only_what_differs() -> None:
    assert difference(drivers(), drivers()) == Difference()
    assert difference(drivers(), drivers(3)) == Difference(added=("driver-3",))
    assert difference(drivers(), drivers(1)) == Difference(removed=("driver-2",))
    assert difference(drivers(), drivers(memory=200)) == Difference(adjusted=("driver-1", "driver-2"))
    assert difference(drivers(), drivers(settings="settings = { pages = 2 }")) == Difference(
        restarted=("driver-1", "driver-2")
    )


@given(before=st.integers(0, 6), after=st.integers(0, 6))
def test_a_changed_count_adds_or_removes_only_at_the_end(before: int, after: int) -> None:
    change = difference(drivers(before), drivers(after))
    assert len(change.added) == max(0, after - before)
    assert len(change.removed) == max(0, before - after)
    assert change.restarted == change.adjusted == ()


def test_lines_are_found_through_strings_over_several_lines_dotted_keys_and_quotes() -> None:
    lines = SourceLines(
        'text = """\n[not.a.table]\nkey = 1\n"""\n[a."b c"]\nx.y = 1 # note\n[[list]]\nk = 2\n'
    )
    assert lines.of(("a", "b c", "x", "y")) == 6
    assert lines.of(("a", "b c")) == 5
    assert lines.of(("list", "k")) == 8
    assert lines.of(("not",)) == 1
    assert lines.of(("a", "unwritten")) == 5
