"""One database file: one writing connection, one reading connection, each on a thread of its own."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import NamedTuple, TypeVar

import apsw

from infra.sqlite.failures import translate, unusable
from infra.sqlite.migrations import Migration, migrate
from infra.sqlite.worker import Operation, Worker, WorkerStatistics

R = TypeVar("R")

WRITE_CAPACITY = 10_000
READ_CAPACITY = 2_000
CHECKPOINT_PAGES = 4_000
"""The log is folded into the file from this many pages on (4 KiB each), with whatever readers allow."""
CHECKPOINT_SECONDS = 30.0
"""Or when the last checkpoint is this long ago."""
BUSY_MILLISECONDS = 2_000
CACHE_KIB = 64 * 1024


class DatabaseStatistics(NamedTuple):
    writer: WorkerStatistics
    reader: WorkerStatistics
    log_pages: int
    checkpoints: int


class Database:
    """Durable (WAL, synchronous=FULL): a write's result is handed back only when it is on the disk.

    Only this object's writer writes to the file and checkpoints it; SQLite before 3.51.3 could lose commits when
    two connections did that at once (sqlite.org, "WAL-reset bug").
    """

    def __init__(self, path: Path, writer: Worker, reader: Worker, log: _Log) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._log = log

    @classmethod
    async def open(
        cls,
        path: Path,
        migrations: tuple[Migration, ...],
        *,
        application_id: int,
        write_capacity: int = WRITE_CAPACITY,
        read_capacity: int = READ_CAPACITY,
    ) -> Database:
        """Open or create the file and migrate it; raises :class:`DatabaseUnusable` with the reason and a fix."""
        log = _Log()
        writing, reading = await asyncio.to_thread(_open_pair, path, migrations, application_id, log)
        writer = Worker(
            writing,
            path,
            name=f"write {path.name}",
            grouped=True,
            capacity=write_capacity,
            idle=log.after_group,
        )
        reader = Worker(reading, path, name=f"read {path.name}", grouped=False, capacity=read_capacity)
        return cls(path, writer, reader, log)

    @property
    def path(self) -> Path:
        return self._path

    async def write(self, operation: Operation[R]) -> R:
        """Run ``operation`` in a transaction; returns after COMMIT. What it raises undoes it alone."""
        return await self._writer.submit(operation)

    async def read(self, operation: Operation[R]) -> R:
        """Run ``operation`` on the read-only connection. It sees every write that was answered before."""
        return await self._reader.submit(operation)

    def statistics(self) -> DatabaseStatistics:
        return DatabaseStatistics(
            writer=self._writer.statistics(),
            reader=self._reader.statistics(),
            log_pages=self._log.pages,
            checkpoints=self._log.checkpoints,
        )

    async def close(self) -> None:
        """Finish what waits and close. The writer goes last, so that its close folds the log into the file."""
        await self._reader.close()
        await self._writer.close()


class _Log:
    """The write-ahead log's length, told by SQLite after each commit, and when it was last folded in."""

    def __init__(self) -> None:
        self.pages = 0
        self.checkpoints = 0
        self._next = CHECKPOINT_PAGES
        self._last = time.monotonic()

    def committed(self, connection: apsw.Connection, name: str, pages: int) -> int:
        self.pages = pages
        if pages < self._next // 2:  # the log began again at its start
            self._next = CHECKPOINT_PAGES
        return apsw.SQLITE_OK

    def after_group(self, connection: apsw.Connection) -> None:
        """PASSIVE never waits for a reader; where one holds it up, the next try is a good way on."""
        due = time.monotonic() - self._last >= CHECKPOINT_SECONDS and self.pages > 0
        if self.pages < self._next and not due:
            return
        self._last = time.monotonic()
        try:
            size, done = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.BusyError:
            size, done = self.pages, 0
        self.checkpoints += 1
        self._next = CHECKPOINT_PAGES if done >= size else self.pages + CHECKPOINT_PAGES
        if done >= size:
            self.pages = 0


def _open_pair(
    path: Path, migrations: tuple[Migration, ...], application_id: int, log: _Log
) -> tuple[apsw.Connection, apsw.Connection]:
    opened: list[apsw.Connection] = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        writing = apsw.Connection(str(path))
        opened.append(writing)
        path.chmod(0o600)
        writing.set_busy_timeout(BUSY_MILLISECONDS)
        if writing.pragma("journal_mode", "wal") != "wal":
            raise unusable(
                path, "its disk does not allow write-ahead logging", "use a folder on a local disk"
            )
        for name, value in (
            ("synchronous", "FULL"),
            ("wal_autocheckpoint", 0),
            ("foreign_keys", True),
            ("temp_store", "MEMORY"),
            ("cache_size", -CACHE_KIB),
        ):
            writing.pragma(name, value)
        migrate(writing, migrations, application_id=application_id, path=path)
        writing.set_wal_hook(log.committed)
        reading = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        opened.append(reading)
        reading.set_busy_timeout(BUSY_MILLISECONDS)
        reading.pragma("cache_size", -CACHE_KIB // 4)
        return writing, reading
    except (apsw.NotADBError, apsw.CorruptError) as error:
        _close(opened)
        raise unusable(
            path, f"this is no sound database ({error})", "move the file away, or restore a backup"
        ) from error
    except (apsw.CantOpenError, apsw.ReadOnlyError, OSError) as error:
        _close(opened)
        raise unusable(path, str(error), f"see that {path.parent} may be written by this user") from error
    except apsw.Error as error:
        _close(opened)
        raise translate(error, path) from error
    except BaseException:
        _close(opened)
        raise


def _close(connections: list[apsw.Connection]) -> None:
    for connection in reversed(connections):
        connection.close()
