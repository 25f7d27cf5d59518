"""Credit: how many commands a receiver takes. The receiver grants, the broker spends."""

from __future__ import annotations


class Grant:
    """The receiver's side: a window of commands in hand at one time.

    ``limit`` is a running total since HELLO: what was returned (finished, duplicate or lost) plus the window.
    """

    __slots__ = ("granted", "received", "returned", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.received = 0
        self.returned = 0
        self.granted = 0

    @property
    def in_hand(self) -> int:
        return self.received - self.returned

    def restart(self) -> int:
        """A new link: totals begin at zero, work in hand stays in hand. The credit for HELLO."""
        self.returned = -self.in_hand
        self.received = 0
        self.granted = max(0, self.returned + self.window)
        return self.granted

    def reconcile(self, sent: int) -> None:
        """The broker has sent this many in all, and the link keeps order: the rest is lost."""
        self.returned += sent - self.received
        self.received = sent

    def wants_renewal(self) -> bool:
        """Whether the broker's credit fell to half of the window or less, and there is more to give."""
        return self.granted - self.received <= self.window // 2 and self.returned + self.window > self.granted

    def renew(self) -> int:
        """Grant all there is to give; the new limit."""
        self.granted = self.returned + self.window
        return self.granted


class Allowance:
    """The broker's side of one link: never negative."""

    __slots__ = ("limit", "sent")

    def __init__(self, limit: int) -> None:
        self.limit = max(0, limit)
        self.sent = 0

    @property
    def available(self) -> int:
        return self.limit - self.sent

    def spend(self, count: int) -> None:
        if count > self.available:
            raise ValueError(f"{count} commands sent on a credit of {self.available}")
        self.sent += count

    def withdraw(self) -> None:
        self.limit = self.sent

    def raise_to(self, limit: int) -> None:
        """An older CREDIT that arrives late changes nothing."""
        self.limit = max(self.limit, limit)
