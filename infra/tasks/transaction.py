"""Changes of tasks inside one transaction: a step is applied with its history, and what follows from it."""

from __future__ import annotations

from collections import deque
from typing import Any

import apsw
from msgspec.structs import replace

from infra.tasks.ids import PREFIX_CHARS
from infra.tasks.places import Place, place_of
from infra.tasks.port import EXCERPT_CHARS
from infra.tasks.rows import (
    COLUMNS,
    INSERT,
    INSERT_EVENT,
    SELECT_BY_ID,
    SELECT_BY_SEQ,
    UPDATE,
    Row,
    event_values,
    payload_out,
    row_from,
    values_to_insert,
    values_to_update,
)
from kernel import transitions
from kernel.tasks import Task, TaskId, TaskState
from kernel.transitions import Refusal, Step
from nerv.errors import ErrorCode, ErrorInfo, NervError

_GONE = (TaskState.DEAD, TaskState.CANCELLED)


class TaskTransaction:
    """Runs on the writer's thread, within a savepoint. ``changed`` gathers every task that moved, in order."""

    def __init__(self, connection: apsw.Connection, now: float) -> None:
        self.connection = connection
        self.now = now
        self.changed: dict[TaskId, Task] = {}

    # -- finding ------------------------------------------------------------------------------------------

    def find(self, task_id: TaskId) -> Row:
        return find(self.connection, task_id)

    def by_seq(self, seq: int) -> Row:
        return row_from(self.connection.execute(SELECT_BY_SEQ, (seq,)).get)

    # -- changing -----------------------------------------------------------------------------------------

    def insert(self, task: Task, *, envelope: str | None) -> Row | None:
        """Add a new task with the first row of its history; one whose dependencies are gone is DEAD at once.

        None: its id, envelope or idempotency key is there already, and nothing was done.
        """
        unmet, gone = self._dependencies(task, must_exist=True)
        place = place_of(task, unmet=unmet, now=self.now)
        if place is Place.READY and task.concurrency_key is not None:
            place = Place.KEYED
        shown = task
        if len(task.prompt) > EXCERPT_CHARS or task.payload:
            shown = replace(task, prompt=task.prompt[:EXCERPT_CHARS], payload={})
        execute = self.connection.execute
        execute(
            INSERT,
            values_to_insert(task, place=place, unmet=unmet, excerpt=shown.prompt, envelope=envelope),
        )
        if self.connection.changes() == 0:
            return None
        seq = self.connection.last_insert_rowid()
        execute("INSERT INTO task_contents VALUES (?, ?, ?)", (seq, task.prompt, payload_out(task.payload)))
        for needed in task.depends_on:
            execute("INSERT INTO task_dependencies VALUES (?, ?)", (needed, seq))
        execute(INSERT_EVENT, event_values(seq, transitions.created(task)))
        row = Row(seq, place, unmet, None, shown)
        self.changed[shown.id] = shown
        if gone is not None:
            return row._replace(task=self.apply(row, self._abandoned(shown, gone)))
        if place is Place.KEYED:
            self._pass_on_key(task.concurrency_key)
        return row

    def apply(self, row: Row, step: Step, *, settled_token: str | None = None) -> Task:
        """Write a step and all that follows: waiting dependents, and the next task of the concurrency key."""
        work = deque([(row, step, settled_token)])
        while work:
            at, move, token = work.popleft()
            if move.task is not at.task:
                self._write(at, move, token)
            for event in move.events:
                self.connection.execute(INSERT_EVENT, event_values(at.seq, event))
            if move.task.state is at.task.state:
                continue
            if move.task.state is TaskState.DONE:
                self._satisfy(move.task)
            elif move.task.state in _GONE:
                for dependent in self._waiting_for(move.task.id):
                    work.append((dependent, self._abandoned(dependent.task, move.task), None))
        return step.task

    def audit(self, row: Row, refusal: Refusal) -> NervError:
        """Keep the refusal in the history; the error to raise once that is committed."""
        if refusal.event is not None:
            self.connection.execute(INSERT_EVENT, event_values(row.seq, refusal.event))
        return NervError(refusal.error)

    def wake_delayed(self, limit: int) -> int:
        """Delayed tasks whose time has come stand in line from now on."""
        due: list[tuple[Any, ...]] = self.connection.execute(
            "SELECT seq FROM tasks WHERE place = 2 AND not_before <= ? ORDER BY not_before LIMIT ?",
            (self.now, limit),
        ).fetchall()
        for (seq,) in due:
            self._place_in_line(self.by_seq(seq))
        return len(due)

    # -- inside -------------------------------------------------------------------------------------------

    def _write(self, row: Row, step: Step, settled_token: str | None) -> None:
        after = step.task
        unmet = row.unmet
        if after.state is TaskState.RETRY and row.place is Place.ENDED:
            unmet, gone = self._dependencies(after, must_exist=False)
            if gone is not None:
                raise NervError(
                    ErrorInfo(
                        code=ErrorCode.CONFLICT,
                        reason=f"it depends on task {gone.id}, which is {gone.state}",
                        field="id",
                        fix=f"run that one again first: `nerv task retry {gone.id}`",
                    )
                )
        place = place_of(after, unmet=unmet, now=self.now)
        if place is Place.READY and after.concurrency_key is not None:
            place = Place.KEYED
        self.connection.execute(
            UPDATE,
            values_to_update(
                row.task,
                after,
                place=place,
                unmet=unmet,
                settled_token=settled_token or row.settled_token,
            ),
        )
        if self.connection.changes() != 1:
            raise NervError(
                ErrorInfo(
                    code=ErrorCode.STALE_LEASE,
                    reason=f"task {row.task.id} was changed meanwhile",
                    field="id",
                    fix="read the task again",
                )
            )
        self.changed[after.id] = after
        if after.concurrency_key is not None:
            self._pass_on_key(after.concurrency_key)

    def _dependencies(self, task: Task, *, must_exist: bool) -> tuple[int, Task | None]:
        """How many are not DONE yet, and the first that will never be."""
        unmet = 0
        gone: Task | None = None
        for needed in task.depends_on:
            values = self.connection.execute(SELECT_BY_ID, (needed,)).fetchone()
            if values is None:
                if must_exist:
                    raise NervError(
                        ErrorInfo(
                            code=ErrorCode.NOT_FOUND,
                            reason=f"there is no task {needed}",
                            field="depends_on",
                            fix="name tasks that were accepted before, by their whole ids",
                        )
                    )
                continue
            other = row_from(values).task
            unmet += other.state is not TaskState.DONE
            if gone is None and other.state in _GONE:
                gone = other
        return unmet, gone

    def _abandoned(self, task: Task, dependency: Task) -> Step:
        step = transitions.abandon(task, dependency=dependency.id, state=dependency.state, now=self.now)
        if isinstance(step, Refusal):
            raise AssertionError(step.error)
        return step

    def _waiting_for(self, task_id: TaskId) -> list[Row]:
        rows = self.connection.execute(
            f"SELECT {COLUMNS} FROM tasks WHERE place = 3 "
            "AND seq IN (SELECT task FROM task_dependencies WHERE needs = ?)",
            (task_id,),
        ).fetchall()
        return [row_from(values) for values in rows]

    def _satisfy(self, done: Task) -> None:
        for dependent in self._waiting_for(done.id):
            unmet, _ = self._dependencies(dependent.task, must_exist=False)
            self.connection.execute("UPDATE tasks SET unmet = ? WHERE seq = ?", (unmet, dependent.seq))
            if unmet == 0:
                self._place_in_line(dependent._replace(unmet=0))

    def _place_in_line(self, row: Row) -> None:
        place = place_of(row.task, unmet=row.unmet, now=self.now)
        if place is Place.READY and row.task.concurrency_key is not None:
            place = Place.KEYED
        self._set_place(row.seq, place)
        self.changed[row.task.id] = row.task
        if place is Place.KEYED:
            self._pass_on_key(row.task.concurrency_key)

    def _set_place(self, seq: int, place: Place) -> None:
        self.connection.execute("UPDATE tasks SET place = ? WHERE seq = ?", (int(place), seq))

    def _pass_on_key(self, key: str | None) -> None:
        """The best waiting task of the key becomes its ready one, unless one is running.

        The unique index on holders makes two at once impossible, whatever this code does.
        """
        holder: tuple[Any, ...] | None = self.connection.execute(
            "SELECT seq, place, priority FROM tasks "
            "WHERE concurrency_key IS NOT NULL AND concurrency_key = ? AND place IN (1, 5)",
            (key,),
        ).fetchone()
        if holder is not None and holder[1] == Place.RUNNING:
            return
        best: tuple[Any, ...] | None = self.connection.execute(
            "SELECT seq, priority, id FROM tasks WHERE place = 4 AND concurrency_key = ? "
            "ORDER BY priority DESC, seq LIMIT 1",
            (key,),
        ).fetchone()
        if best is None:
            return
        if holder is not None:
            if (-holder[2], holder[0]) < (-best[1], best[0]):
                return
            self._set_place(holder[0], Place.KEYED)
        self._set_place(best[0], Place.READY)
        if best[2] not in self.changed:
            self.changed[best[2]] = self.by_seq(best[0]).task


def find(connection: apsw.Connection, task_id: TaskId) -> Row:
    """By its id or a unique prefix; raises NOT_FOUND, or CONFLICT where several tasks begin so."""
    values = connection.execute(SELECT_BY_ID, (task_id,)).fetchone()
    if values is not None:
        return row_from(values)
    if len(task_id) >= PREFIX_CHARS:
        found = connection.execute(
            f"SELECT {COLUMNS} FROM tasks WHERE id >= ? AND id < ? LIMIT 2", (task_id, task_id + "\x7f")
        ).fetchall()
        if len(found) == 1:
            return row_from(found[0])
        if found:
            raise NervError(
                ErrorInfo(
                    code=ErrorCode.CONFLICT,
                    reason=f"several tasks begin with {task_id!r}",
                    field="id",
                    fix="give more of its characters",
                )
            )
    raise NervError(
        ErrorInfo(
            code=ErrorCode.NOT_FOUND,
            reason=f"there is no task {task_id!r}",
            field="id",
            fix=f"`nerv task ls` lists tasks; at least {PREFIX_CHARS} characters of an id are enough",
        )
    )
