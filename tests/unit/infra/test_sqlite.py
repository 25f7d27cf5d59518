"""The writer, its groups, migrations, and what can go wrong with a file."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import apsw
import pytest

from infra.sqlite import Database, DatabaseUnusable, DiskFull, Migration, load_migrations
from infra.sqlite.failures import DatabaseFailed, DatabaseLocked
from nerv.errors import Busy, ErrorCode, NervError

APPLICATION = 0x7E57
ONE = Migration(version=1, name="0001_t", sql="CREATE TABLE t (x INTEGER PRIMARY KEY, y TEXT) STRICT;")
TWO = Migration(version=2, name="0002_z", sql="ALTER TABLE t ADD COLUMN z TEXT NOT NULL DEFAULT 'new';")


def put(x: int, y: str = "") -> Callable[[apsw.Connection], int]:
    def operation(connection: apsw.Connection) -> int:
        connection.execute("INSERT INTO t (x, y) VALUES (?, ?)", (x, y))
        return x

    return operation


def count(connection: apsw.Connection) -> int:
    found: int = connection.execute("SELECT count(*) FROM t").get
    return found


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "x.db", (ONE,), application_id=APPLICATION, write_capacity=50)
    yield opened
    await opened.close()


class Gate:
    """Holds the writer in the middle of a group until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, connection: apsw.Connection) -> None:
        self.reached.set()
        assert self.go_on.wait(10)


async def test_it_is_durable_by_its_settings(database: Database) -> None:
    assert await database.write(lambda db: db.pragma("synchronous")) == 2, "FULL"
    assert await database.write(lambda db: db.pragma("journal_mode")) == "wal"


async def test_what_was_written_can_be_read_and_is_there_after_reopening(tmp_path: Path) -> None:
    for expected in (1, 2):
        database = await Database.open(tmp_path / "x.db", (ONE,), application_id=APPLICATION)
        await database.write(put(expected))
        assert await database.read(count) == expected
        await database.close()
    assert not (tmp_path / "x.db-wal").exists(), "closing folds the log into the file"


async def test_the_reader_cannot_write(database: Database) -> None:
    with pytest.raises(DatabaseFailed):
        await database.read(put(1))


async def test_what_comes_during_a_commit_shares_the_next_one(database: Database) -> None:
    gate = Gate()
    first = asyncio.ensure_future(database.write(gate))
    await asyncio.to_thread(gate.reached.wait, 10)
    before = database.statistics().writer.groups
    rest = [asyncio.ensure_future(database.write(put(i))) for i in range(40)]
    await asyncio.sleep(0)
    gate.go_on.set()
    await first
    assert await asyncio.gather(*rest) == list(range(40))
    statistics = database.statistics().writer
    assert statistics.groups - before <= 3
    assert statistics.largest_group >= 20


async def test_nothing_is_answered_before_its_commit(database: Database) -> None:
    gate = Gate()
    early = asyncio.ensure_future(database.write(put(1)))
    late = asyncio.ensure_future(database.write(gate))
    await asyncio.to_thread(gate.reached.wait, 10)
    seen = await database.read(count)
    await asyncio.sleep(0)
    assert early.done() == (seen == 1), "answered if and only if it is committed"
    gate.go_on.set()
    await asyncio.gather(early, late)


async def test_one_failure_undoes_itself_alone(database: Database) -> None:
    def half(connection: apsw.Connection) -> None:
        put(7)(connection)
        raise ValueError("changed my mind")

    results = await asyncio.gather(
        database.write(put(1)),
        database.write(half),
        database.write(put(1)),
        database.write(put(2)),
        return_exceptions=True,
    )
    assert results[0] == 1
    assert isinstance(results[1], ValueError)
    assert isinstance(results[2], DatabaseFailed)
    assert results[3] == 2
    assert await database.read(count) == 2


async def test_too_many_waiting_are_refused_with_a_time_to_come_again(database: Database) -> None:
    gate = Gate()
    first = asyncio.ensure_future(database.write(gate))
    await asyncio.to_thread(gate.reached.wait, 10)
    waiting = [asyncio.ensure_future(database.write(put(i))) for i in range(50)]
    await asyncio.sleep(0)
    with pytest.raises(Busy) as caught:
        await database.write(put(99))
    assert caught.value.info.retry_after is not None
    gate.go_on.set()
    await asyncio.gather(first, *waiting)
    assert database.statistics().writer.refused == 1
    assert await database.read(count) == 50


async def test_a_caller_that_went_away_changes_nothing_for_the_others(database: Database) -> None:
    gate = Gate()
    first = asyncio.ensure_future(database.write(gate))
    await asyncio.to_thread(gate.reached.wait, 10)
    gone = asyncio.ensure_future(database.write(put(1)))
    stays = asyncio.ensure_future(database.write(put(2)))
    await asyncio.sleep(0)
    gone.cancel()
    gate.go_on.set()
    await asyncio.gather(first, stays)
    assert await stays == 2


async def test_closing_finishes_what_waits_and_refuses_the_rest(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "x.db", (ONE,), application_id=APPLICATION)
    writes = [asyncio.ensure_future(database.write(put(i))) for i in range(20)]
    await asyncio.sleep(0)
    await database.close()
    assert await asyncio.gather(*writes) == list(range(20))
    with pytest.raises(NervError) as caught:
        await database.write(put(99))
    assert caught.value.code is ErrorCode.STOPPING


async def test_a_full_disk_is_told_and_survived(database: Database) -> None:
    await database.write(put(1))
    pages = await database.write(lambda db: db.pragma("page_count"))
    await database.write(lambda db: db.pragma("max_page_count", pages + 2))
    with pytest.raises(DiskFull) as caught:
        await database.write(put(2, "x" * 100_000))
    assert "disk is full" in caught.value.info.reason
    assert caught.value.info.retry_after
    await database.write(lambda db: db.pragma("max_page_count", 1_000_000))
    await database.write(put(2, "x" * 100_000))
    assert await database.read(count) == 2


async def test_a_file_that_another_process_locks_is_busy_not_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.sqlite.database.BUSY_MILLISECONDS", 20)
    database = await Database.open(tmp_path / "x.db", (ONE,), application_id=APPLICATION)
    other = apsw.Connection(str(tmp_path / "x.db"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseLocked):
        await database.write(put(1))
    other.execute("ROLLBACK")
    other.close()
    assert await database.write(put(1)) == 1
    await database.close()


async def test_a_long_log_is_folded_into_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.sqlite.database.CHECKPOINT_PAGES", 20)
    database = await Database.open(tmp_path / "x.db", (ONE,), application_id=APPLICATION)
    for i in range(60):
        await database.write(put(i, "x" * 4000))
    await database.close()
    assert database.statistics().checkpoints > 1


# -- migrations -------------------------------------------------------------------------------------------


async def test_an_older_file_is_brought_up_step_by_step(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    old = await Database.open(path, (ONE,), application_id=APPLICATION)
    await old.write(put(1))
    await old.close()
    new = await Database.open(path, (ONE, TWO), application_id=APPLICATION)
    assert await new.read(lambda db: db.execute("SELECT x, z FROM t").fetchall()) == [(1, "new")]
    await new.close()


async def refused(path: Path, *migrations: Migration, application: int = APPLICATION) -> str:
    with pytest.raises(DatabaseUnusable) as caught:
        await Database.open(path, migrations, application_id=application)
    assert caught.value.info.fix
    return caught.value.info.reason


async def test_a_newer_a_foreign_and_a_damaged_file_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    await (await Database.open(path, (ONE, TWO), application_id=APPLICATION)).close()
    assert "version 2" in await refused(path, ONE)
    assert "something else" in await refused(path, ONE, TWO, application=1)
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"this is no database at all, however long one looks" * 100)
    assert "no sound database" in await refused(broken, ONE)
    assert broken.read_bytes().startswith(b"this is no database")
    folder = tmp_path / "folder.db"
    folder.mkdir()
    await refused(folder, ONE)


async def test_a_step_that_fails_leaves_the_version_before_it(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    await (await Database.open(path, (ONE,), application_id=APPLICATION)).close()
    wrong = Migration(version=2, name="0002_wrong", sql="CREATE TABLE u (x); CREATE TABLE t (x);")
    with pytest.raises(NervError):
        await Database.open(path, (ONE, wrong), application_id=APPLICATION)
    fixed = await Database.open(path, (ONE, TWO), application_id=APPLICATION)
    assert await fixed.read(lambda db: db.pragma("user_version")) == 2
    assert await fixed.read(lambda db: db.execute("SELECT 1 FROM sqlite_schema WHERE name='u'").get) is None
    await fixed.close()


@pytest.mark.parametrize("package", ["infra.tasks", "infra.replies"])
async def test_every_migration_of_ours_runs_from_empty_and_from_each_version_before(
    package: str, tmp_path: Path
) -> None:
    migrations = load_migrations(package)
    assert migrations
    schemas = set()
    for start in range(len(migrations) + 1):
        path = tmp_path / f"{start}.db"
        if start:
            await (await Database.open(path, migrations[:start], application_id=APPLICATION)).close()
        database = await Database.open(path, migrations, application_id=APPLICATION)
        rows = await database.read(
            lambda db: db.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
        )
        assert await database.read(lambda db: db.pragma("integrity_check")) == "ok"
        schemas.add(tuple(rows))
        await database.close()
    assert len(schemas) == 1
