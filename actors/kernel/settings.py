"""The kernel's `[actor.kernel.settings]`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from kernel.breaker import BreakerPolicy

Seconds = Annotated[float, msgspec.Meta(gt=0.0, le=3600.0)]


class KernelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``lease_seconds``: how long a driver that says nothing keeps a task."""

    lease_seconds: Seconds = 30.0
    dispatch_seconds: Seconds = 1.0
    """The queue is asked for ready tasks at least this often; hints make it sooner."""
    reconcile_seconds: Seconds = 3.0
    """How often the queue's leases are compared with the drivers' offers."""
    discover_seconds: Seconds = 240.0
    """How long a driver may take to find its way about an unknown page."""
    breaker: BreakerPolicy = BreakerPolicy()
