"""Does an actor's loop still turn? Pure rules about ticks on the bus, and about when silence proves nothing.

The supervisor publishes a tick of its own and listens for it. While that echo is fresh, the path of events works
and the silence of an actor is the actor's. While it is not, only the broker can be judged. (A supervisor that
judges through a broken ear kills healthy actors: ipython PR 3290, dask 6324.)
"""

from __future__ import annotations

ECHO_SECONDS = 2.5
"""Our own tick, sent each second, older than this: we hear nothing, so nobody's silence counts."""


class Hearing:
    """Whether the path of events works, and since when. Monotonic times in seconds."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._last: float | None = None

    def echo(self, now: float) -> None:
        """Our own tick came back."""
        if self._last is None or now - self._last > ECHO_SECONDS:
            self._since = now
        self._last = now

    def lost(self) -> None:
        """We were not listening ourselves (stopped, suspended, stalled): begin again."""
        self._since = self._last = None

    def since(self, now: float) -> float | None:
        """Start of the present spell of good hearing; None while we cannot hear."""
        if self._last is None or now - self._last > ECHO_SECONDS:
            return None
        return self._since

    def last(self) -> float | None:
        return self._last


def silence(
    *, now: float, ready_at: float, last_tick: float | None, hearing_since: float | None, allowed: float
) -> float | None:
    """For how long a ready actor has been silent while we could hear, if longer than ``allowed``; else None."""
    if hearing_since is None:
        return None
    quiet = now - max(ready_at, last_tick or 0.0, hearing_since)
    return quiet if quiet > allowed else None


def deafness(
    *, now: float, ready_at: float, last_echo: float | None, judged_since: float, allowed: float
) -> float | None:
    """For how long a ready broker has passed on nothing, if longer than ``allowed``; else None.

    ``judged_since``: since when the supervisor itself has been running without a stall.
    """
    quiet = now - max(ready_at, last_echo or 0.0, judged_since)
    return quiet if quiet > allowed else None
