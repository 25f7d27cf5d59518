"""SQLite as a durable store: one writer with group commit, readers apart, migrations. Knows no table."""

from infra.sqlite.database import Database, DatabaseStatistics
from infra.sqlite.failures import DatabaseFailed, DatabaseUnusable, DiskFull
from infra.sqlite.migrations import Migration, load_migrations
from infra.sqlite.worker import WorkerStatistics

__all__ = (
    "Database",
    "DatabaseFailed",
    "DatabaseStatistics",
    "DatabaseUnusable",
    "DiskFull",
    "Migration",
    "WorkerStatistics",
    "load_migrations",
)
