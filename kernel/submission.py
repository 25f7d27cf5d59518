"""May this be a task? Turns a submission into a task, or says what is wrong with it and how to mend that."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection

import msgspec

from kernel.messages import TaskSubmit
from kernel.tasks import DEFAULT_TASK_SECONDS, MAX_PROMPT_CHARS, Task, TaskId, TaskState
from nerv.errors import ErrorCode, ErrorInfo, invalid

MAX_ATTEMPTS = 100
MAX_PRIORITY = 1_000
MAX_SECONDS = 366 * 24 * 3600.0
"""The longest timeout and delay: a year. Longer ones are mistakes of unit."""
MIN_TIMEOUT = 0.1
"""Seconds; less than this would be lost in the rounding of times, and no page is that fast."""
MAX_DEPENDENCIES = 100
MAX_KEY_CHARS = 200
MAX_PAYLOAD_BYTES = 256 * 1024
NAMES_IN_ERROR = 5


def near_names(name: str, known: Collection[str]) -> list[str]:
    """Up to five known names, nearest first; all of them (sorted) where nothing is near and they are few."""
    lowered = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), lowered, n=NAMES_IN_ERROR, cutoff=0.5)
    found = [lowered[candidate] for candidate in near]
    return found or (sorted(known) if len(known) <= NAMES_IN_ERROR else [])


def unknown_provider(name: str, known: Collection[str], *, field: str = "provider") -> ErrorInfo:
    near = near_names(name, known)
    if not known:
        fix = "no provider is known yet: `nerv provider add URL`"
    elif near:
        fix = f"use one of: {', '.join(near)}; `nerv provider ls` lists all, `nerv provider add URL` adds one"
    else:
        fix = "`nerv provider ls` lists all, `nerv provider add URL` adds one"
    return ErrorInfo(
        code=ErrorCode.UNKNOWN_PROVIDER, reason=f"no provider is called {name!r}", field=field, fix=fix
    )


def task_from(
    message: TaskSubmit,
    *,
    id: TaskId,  # noqa: A002 - the field of the task
    now: float,
    providers: Collection[str],
    correlation: str = "",
    created_by: str = "",
) -> Task | ErrorInfo:
    """The task that ``message`` asks for, PENDING; or the first thing that is wrong with it.

    Whether ``depends_on`` names tasks that exist is for the store to say, in the transaction that adds the task.
    """
    problem = _check(message, providers)
    if problem is not None:
        return problem
    seconds = DEFAULT_TASK_SECONDS + message.delay if message.timeout is None else message.timeout
    return Task(
        id=id,
        kind=message.kind,
        provider=message.provider,
        account=message.account,
        prompt=message.prompt,
        payload=message.payload,
        priority=message.priority,
        state=TaskState.PENDING,
        max_attempts=message.max_attempts,
        not_before=now + message.delay if message.delay else 0.0,
        timeout=seconds,
        deadline=now + seconds,
        idempotency_key=message.idempotency_key,
        concurrency_key=message.concurrency_key,
        depends_on=tuple(dict.fromkeys(message.depends_on)),
        batch=message.batch,
        correlation=correlation,
        created_by=created_by,
        created_at=now,
        updated_at=now,
    )


def _check(message: TaskSubmit, providers: Collection[str]) -> ErrorInfo | None:
    return (
        _check_provider(message, providers)
        or _check_prompt(message)
        or _check_numbers(message)
        or _check_keys(message)
    )


def _check_provider(message: TaskSubmit, providers: Collection[str]) -> ErrorInfo | None:
    if not message.provider:
        return invalid("no provider is named", field="provider", fix="`nerv provider ls` lists the providers")
    if message.provider not in providers:
        return unknown_provider(message.provider, providers)
    if not message.account or "/" in message.account:
        return invalid(
            f"{message.account!r} is no name of an account",
            field="account",
            fix="leave it out for the default account, or give a name without `/`",
        )
    return None


def _check_prompt(message: TaskSubmit) -> ErrorInfo | None:
    if not message.prompt.strip():
        return invalid("the prompt is empty", field="prompt", fix="give some text to send")
    if len(message.prompt) > MAX_PROMPT_CHARS:
        return invalid(
            f"the prompt has {len(message.prompt):,} characters, the limit is {MAX_PROMPT_CHARS:,}",
            field="prompt",
            fix="shorten it, or split it into several tasks",
        )
    if "\x00" in message.prompt:
        return invalid("the prompt holds a zero byte", field="prompt", fix="send text, not binary data")
    try:
        message.prompt.encode()
    except UnicodeEncodeError as error:
        return invalid(
            f"the prompt holds half a surrogate pair at character {error.start}",
            field="prompt",
            fix="send well-formed Unicode text",
        )
    return None


def _check_numbers(message: TaskSubmit) -> ErrorInfo | None:
    if not 1 <= message.max_attempts <= MAX_ATTEMPTS:
        return invalid(
            f"max_attempts is {message.max_attempts}",
            field="max_attempts",
            fix=f"use a number from 1 to {MAX_ATTEMPTS}",
        )
    if abs(message.priority) > MAX_PRIORITY:
        return invalid(
            f"priority is {message.priority}",
            field="priority",
            fix=f"use a number from -{MAX_PRIORITY} to {MAX_PRIORITY}; larger runs first",
        )
    if not (math.isfinite(message.delay) and 0 <= message.delay <= MAX_SECONDS):
        return invalid(
            f"delay is {message.delay} seconds", field="delay", fix="use seconds from 0 to one year"
        )
    if message.timeout is None:
        return None
    if not (math.isfinite(message.timeout) and MIN_TIMEOUT <= message.timeout <= MAX_SECONDS):
        return invalid(
            f"timeout is {message.timeout} seconds",
            field="timeout",
            fix=f"use seconds from {MIN_TIMEOUT:g} to one year",
        )
    if message.timeout - message.delay < MIN_TIMEOUT:
        return invalid(
            f"with a delay of {message.delay:g} s and a timeout of {message.timeout:g} s it could never run",
            field="timeout",
            fix="the timeout counts from the submission: make it longer than the delay",
        )
    return None


def _check_keys(message: TaskSubmit) -> ErrorInfo | None:
    for field in ("idempotency_key", "concurrency_key", "batch"):
        value: str | None = getattr(message, field)
        if value is not None and not 1 <= len(value) <= MAX_KEY_CHARS:
            return invalid(
                f"{field} has {len(value)} characters",
                field=field,
                fix=f"leave it out, or use 1 to {MAX_KEY_CHARS} characters",
            )
    if len(message.depends_on) > MAX_DEPENDENCIES:
        return invalid(
            f"it depends on {len(message.depends_on)} tasks",
            field="depends_on",
            fix=f"name at most {MAX_DEPENDENCIES}",
        )
    size = len(msgspec.msgpack.encode(message.payload)) if message.payload else 0
    if size > MAX_PAYLOAD_BYTES:
        return invalid(
            f"the payload has {size:,} bytes",
            field="payload",
            fix=f"keep it under {MAX_PAYLOAD_BYTES:,} bytes",
        )
    return None
