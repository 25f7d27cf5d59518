"""Versioned schemas: one .sql file per version, each applied once, in one transaction with its version mark."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import apsw
import msgspec

from infra.sqlite.failures import unusable


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """``version`` counts from 1 without gaps; ``name`` is its file's, without the ending."""

    version: int
    name: str
    sql: str


def load_migrations(package: str) -> tuple[Migration, ...]:
    """The files ``NNNN_name.sql`` of the folder ``migrations`` in ``package``, in order of their numbers."""
    found = []
    for file in files(package).joinpath("migrations").iterdir():
        if file.name.endswith(".sql"):
            stem = file.name.removesuffix(".sql")
            found.append(
                Migration(version=int(stem.split("_", 1)[0]), name=stem, sql=file.read_text("utf-8"))
            )
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the migrations of {package} are not numbered 1, 2, 3 …")
    return tuple(found)


def migrate(
    connection: apsw.Connection, migrations: tuple[Migration, ...], *, application_id: int, path: Path
) -> int:
    """Bring the file to the newest version; returns how many steps that took.

    Raises :class:`DatabaseUnusable` for a file of another application or of a newer NERV.
    """
    version = int(connection.pragma("user_version"))
    owner = int(connection.pragma("application_id"))
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if owner != application_id and (owner or version or tables):
        raise unusable(
            path, "this is the database of something else", "move it away, or choose another folder"
        )
    newest = len(migrations)
    if version > newest:
        raise unusable(
            path,
            f"its schema has version {version}, this NERV knows up to {newest}",
            "use the newer NERV that wrote it, or restore an older backup",
        )
    for migration in migrations[version:]:
        with _transaction(connection):
            connection.execute(migration.sql)
            connection.pragma("application_id", application_id)
            connection.pragma("user_version", migration.version)
    return newest - version


class _transaction:  # noqa: N801 - reads as a statement
    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None:
            self._connection.execute("COMMIT")
        elif self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
