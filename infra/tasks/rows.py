"""Between rows and tasks, and the statements that read and write them."""

from __future__ import annotations

from typing import Any, NamedTuple

import apsw
import msgspec

from infra.tasks.places import Place
from kernel.tasks import (
    Lease,
    LeaseToken,
    ReplySummary,
    Stage,
    Task,
    TaskError,
    TaskEvent,
    TaskId,
    TaskKind,
    TaskState,
)

_error = msgspec.json.Decoder(TaskError)
_reply = msgspec.json.Decoder(ReplySummary)
_ids = msgspec.json.Decoder(tuple[TaskId, ...])
_payload = msgspec.msgpack.Decoder(dict[str, Any])
_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()

# A look into a dictionary costs a tenth of calling the enum, and every row needs four.
_KINDS = {kind.value: kind for kind in TaskKind}
_STATES = {state.value: state for state in TaskState}
_STAGES = {stage.value: stage for stage in Stage}
_PLACES = {place.value: place for place in Place}

COLUMNS = (
    "seq, place, unmet, settled_token, id, kind, provider, account, priority, state, stage, attempt, failures, "
    "losses, max_attempts, not_before, timeout, deadline, lease_token, lease_owner, lease_until, "
    "idempotency_key, concurrency_key, conversation, depends_on, batch, error, reply, correlation, created_by, "
    "created_at, updated_at, finished_at, excerpt"
)

INSERT = f"""
INSERT INTO tasks ({COLUMNS.removeprefix("seq, ")}, envelope)
VALUES ({", ".join("?" * 34)})
ON CONFLICT DO NOTHING
"""

UPDATE = """
UPDATE tasks
SET place = ?, unmet = ?, settled_token = ?, state = ?, stage = ?, attempt = ?, failures = ?, losses = ?,
    not_before = ?, deadline = ?, lease_token = ?, lease_owner = ?, lease_until = ?, conversation = ?, error = ?,
    reply = ?, updated_at = ?, finished_at = ?
WHERE id = ? AND state = ? AND lease_token IS ?
"""

INSERT_EVENT = """
INSERT INTO task_events (task, number, at, attempt, change, by, detail)
VALUES (?1, 1 + coalesce((SELECT max(number) FROM task_events WHERE task = ?1), 0), ?2, ?3, ?4, ?5, ?6)
"""

SELECT_BY_SEQ = f"SELECT {COLUMNS} FROM tasks WHERE seq = ?"
SELECT_BY_ID = f"SELECT {COLUMNS} FROM tasks WHERE id = ?"


class Row(NamedTuple):
    """A task with what only the store knows of it. The prompt is its excerpt, the payload is empty."""

    seq: int
    place: Place
    unmet: int
    settled_token: str | None
    task: Task


def row_from(values: tuple[Any, ...]) -> Row:
    (
        seq, place, unmet, settled_token, task_id, kind, provider, account, priority, state, stage, attempt,
        failures, losses, max_attempts, not_before, timeout, deadline, lease_token, lease_owner, lease_until,
        idempotency_key, concurrency_key, conversation, depends_on, batch, error, reply, correlation, created_by,
        created_at, updated_at, finished_at, excerpt,
    ) = values  # fmt: skip
    task = Task(
        id=TaskId(task_id),
        kind=_KINDS[kind],
        provider=provider,
        account=account,
        prompt=excerpt,
        priority=priority,
        state=_STATES[state],
        stage=_STAGES[stage],
        attempt=attempt,
        failures=failures,
        losses=losses,
        max_attempts=max_attempts,
        not_before=not_before,
        timeout=timeout,
        deadline=deadline,
        lease=None
        if lease_token is None
        else Lease(token=LeaseToken(lease_token), owner=lease_owner, until=lease_until),
        idempotency_key=idempotency_key,
        concurrency_key=concurrency_key,
        conversation=conversation,
        depends_on=() if depends_on is None else _ids.decode(depends_on),
        batch=batch,
        error=None if error is None else _error.decode(error),
        reply=None if reply is None else _reply.decode(reply),
        correlation=correlation,
        created_by=created_by,
        created_at=created_at,
        updated_at=updated_at,
        finished_at=finished_at,
    )
    return Row(seq, _PLACES[place], unmet, settled_token, task)


def values_to_insert(
    task: Task, *, place: Place, unmet: int, excerpt: str, envelope: str | None
) -> tuple[Any, ...]:
    lease = task.lease
    return (
        int(place), unmet, None, task.id, task.kind.value, task.provider, task.account, task.priority,
        task.state.value, task.stage.value, task.attempt, task.failures, task.losses, task.max_attempts,
        float(task.not_before), float(task.timeout), float(task.deadline),
        lease and lease.token, lease and lease.owner, lease and lease.until,
        task.idempotency_key, task.concurrency_key, task.conversation,
        _json.encode(task.depends_on).decode() if task.depends_on else None,
        task.batch, _text(task.error), _text(task.reply), task.correlation, task.created_by,
        float(task.created_at), float(task.updated_at), task.finished_at, excerpt, envelope,
    )  # fmt: skip


def values_to_update(
    before: Task, after: Task, *, place: Place, unmet: int, settled_token: str | None
) -> tuple[Any, ...]:
    lease = after.lease
    return (
        int(place), unmet, settled_token, after.state.value, after.stage.value, after.attempt, after.failures,
        after.losses, float(after.not_before), float(after.deadline),
        lease and lease.token, lease and lease.owner, lease and lease.until,
        after.conversation, _text(after.error), _text(after.reply), float(after.updated_at), after.finished_at,
        before.id, before.state.value, before.lease and before.lease.token,
    )  # fmt: skip


def event_values(seq: int, event: TaskEvent) -> tuple[Any, ...]:
    return (seq, float(event.at), event.attempt, event.change, event.by, event.detail)


def payload_out(payload: dict[str, Any]) -> bytes | None:
    return _msgpack.encode(payload) if payload else None


def with_contents(connection: apsw.Connection, row: Row) -> Task:
    """The task with its whole prompt and payload."""
    prompt, payload = connection.execute(
        "SELECT prompt, payload FROM task_contents WHERE seq = ?", (row.seq,)
    ).get
    decoded = {} if payload is None else _payload.decode(payload)
    return msgspec.structs.replace(row.task, prompt=prompt, payload=decoded)


def _text(value: msgspec.Struct | None) -> str | None:
    return None if value is None else _json.encode(value).decode()
