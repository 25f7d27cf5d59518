"""Whether the broker looks for the next message before it sleeps. Pure; time is a parameter."""

from __future__ import annotations

SPIN = 0.0004
"""Seconds for which the broker looks for the next message before it sleeps: to be woken takes longer than that."""
CLOSE = 0.001
"""It does so only while messages follow each other within this time: sparse traffic costs nothing."""
LONE = 2048
"""And only after a single message of at most so many bytes: full bundles come when nobody waits for one answer."""


class Spin:
    """Remembers when messages were last read."""

    def __init__(self, seconds: float = SPIN) -> None:
        """``seconds``: 0 turns it off."""
        self._seconds = seconds
        self._last = float("-inf")

    def after(self, now: float, messages: int, size: int) -> float:
        """For how many seconds to look on, after reading so many messages of ``size`` bytes in all at ``now``."""
        if not messages:
            return 0.0
        close, self._last = now - self._last <= CLOSE, now
        return self._seconds if close and messages == 1 and size <= LONE else 0.0
