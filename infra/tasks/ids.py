"""Names of tasks and leases: random, so that short prefixes tell tasks apart and tokens cannot be guessed."""

from __future__ import annotations

import base64
import secrets

from kernel.tasks import LeaseToken, TaskId

PREFIX_CHARS = 6
"""The shortest prefix that stands for an id."""


def new_task_id() -> TaskId:
    """80 random bits as 16 characters of a-z 2-7."""
    return TaskId(base64.b32encode(secrets.token_bytes(10)).decode().lower())


def new_lease_token() -> LeaseToken:
    return LeaseToken(secrets.token_hex(8))
