"""Replies in SQLite. Appends are idempotent by (task, attempt, seq); of seals the first wins."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import apsw
import msgspec

from infra.sqlite import Database, DatabaseStatistics, load_migrations
from kernel.messages import Delta, ReplyAppend, ReplySeal, ReplyView
from kernel.replies import length_after, refusal
from kernel.tasks import Finish, ReplySource, ReplySummary, TaskId
from nerv.errors import ErrorCode, ErrorInfo, NervError

APPLICATION_ID = 0x4E525652  # "NRVR"
MAX_READ_CHARS = 512 * 1024
"""One read gives deltas up to about this many characters; the reader asks again for what follows."""

_SEAL = "SELECT attempt, source, finish, length, sha256, text, signs FROM seals WHERE task = ?"
_signs = msgspec.json.Decoder(tuple[str, ...])


class Appended(msgspec.Struct, frozen=True, kw_only=True):
    """The deltas that were new, as they are stored now."""

    deltas: tuple[Delta, ...]


class SqliteReplyStore:
    """Every write returns after its COMMIT is on the disk."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, path: Path) -> SqliteReplyStore:
        migrations = load_migrations("infra.replies")
        return cls(await Database.open(path, migrations, application_id=APPLICATION_ID))

    async def close(self) -> None:
        await self._database.close()

    def statistics(self) -> DatabaseStatistics:
        return self._database.statistics()

    async def append(self, message: ReplyAppend) -> Appended:
        """All deltas that are new, or none: a gap or a wrong offset is refused with CONFLICT.

        A delta whose seq is known has no effect. Nothing new is taken once the attempt is sealed.
        """
        return await self._database.write(lambda connection: _append(connection, message))

    async def seal(self, message: ReplySeal, *, now: float) -> ReplySummary:
        """The summary of the reply that is sealed now, or was before."""
        return await self._database.write(lambda connection: _seal(connection, message, now))

    async def read(self, task: TaskId, *, attempt: int = 0, after: int = 0) -> ReplyView:
        """Deltas of one attempt with a larger seq than ``after``, about half a million characters at most.

        ``attempt`` 0 is the sealed one, or else the newest. A reply that nobody has begun is empty.
        """
        return await self._database.read(lambda connection: _read(connection, task, attempt, after))


def _append(connection: apsw.Connection, message: ReplyAppend) -> Appended:
    key = (message.task, message.attempt)
    known: tuple[Any, ...] | None = connection.execute(
        "SELECT next_seq, length FROM attempts WHERE task = ? AND attempt = ?", key
    ).fetchone()
    next_seq, length = known or (1, 0)
    fresh = [delta for delta in message.deltas if delta.seq >= next_seq]
    if not fresh:
        return Appended(deltas=())
    sealed: tuple[Any, ...] | None = connection.execute(_SEAL, (message.task,)).fetchone()
    if sealed is not None and sealed[0] == message.attempt:
        raise NervError(
            ErrorInfo(
                code=ErrorCode.CONFLICT,
                reason=f"the reply of attempt {message.attempt} is sealed",
                field="deltas",
                fix="report the attempt as done",
            )
        )
    for delta in fresh:
        problem = refusal(delta, next_seq=next_seq, length=length)
        if problem is not None:
            raise NervError(problem)
        connection.execute(
            "INSERT INTO deltas VALUES (?, ?, ?, ?, ?, ?)",
            (*key, delta.seq, delta.offset, delta.text, int(delta.rewrite)),
        )
        next_seq += 1
        length = length_after(delta, length)
    connection.execute(
        "INSERT INTO attempts VALUES (?, ?, ?, ?) "
        "ON CONFLICT (task, attempt) DO UPDATE SET next_seq = excluded.next_seq, length = excluded.length",
        (*key, next_seq, length),
    )
    return Appended(deltas=tuple(fresh))


def _seal(connection: apsw.Connection, message: ReplySeal, now: float) -> ReplySummary:
    sealed: tuple[Any, ...] | None = connection.execute(_SEAL, (message.task,)).fetchone()
    if sealed is not None:
        return _summary(sealed)
    summary = ReplySummary(
        attempt=message.attempt,
        source=message.source,
        finish=message.finish,
        length=len(message.text),
        sha256=hashlib.sha256(message.text.encode()).hexdigest(),
    )
    connection.execute(
        "INSERT INTO seals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            message.task,
            message.attempt,
            message.text,
            summary.source.value,
            summary.finish.value,
            summary.length,
            summary.sha256,
            message.conversation,
            msgspec.json.encode(message.signs).decode(),
            now,
        ),
    )
    return summary


def _read(connection: apsw.Connection, task: TaskId, attempt: int, after: int) -> ReplyView:
    sealed: tuple[Any, ...] | None = connection.execute(_SEAL, (task,)).fetchone()
    if not attempt and sealed is not None:
        attempt = sealed[0]
    elif not attempt:
        newest: int | None = connection.execute(
            "SELECT max(attempt) FROM attempts WHERE task = ?", (task,)
        ).get
        attempt = newest or 0
    deltas: list[Delta] = []
    room = MAX_READ_CHARS
    stored: Any = connection.execute(
        "SELECT seq, start, text, rewrite FROM deltas WHERE task = ? AND attempt = ? AND seq > ? ORDER BY seq",
        (task, attempt, after),
    )
    for seq, start, text, rewrite in stored:
        deltas.append(Delta(seq=seq, offset=start, text=text, rewrite=bool(rewrite)))
        room -= len(text)
        if room <= 0:
            stored.close()
            break
    length: int | None = connection.execute(
        "SELECT length FROM attempts WHERE task = ? AND attempt = ?", (task, attempt)
    ).get
    return ReplyView(
        task=task,
        attempt=attempt,
        deltas=tuple(deltas),
        length=length or 0,
        sealed=None if sealed is None else _summary(sealed),
        text=None if sealed is None else sealed[5],
        signs=() if sealed is None else _signs.decode(sealed[6]),
    )


def _summary(sealed: tuple[Any, ...]) -> ReplySummary:
    attempt, source, finish, length, sha256 = sealed[:5]
    return ReplySummary(
        attempt=attempt, source=ReplySource(source), finish=Finish(finish), length=length, sha256=sha256
    )
