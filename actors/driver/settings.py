"""What `[actor.driver.settings]` of supervisor.toml may say."""

from __future__ import annotations

import msgspec


class DriverSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``pages``: tasks at once. ``browser``: path of a Chromium or Chrome; empty: look for one.

    ``recycle_pages`` and ``recycle_seconds``: between jobs, a browser that opened more pages than that, or is
    older than that, is replaced by a fresh one.
    """

    pages: int = 2
    browser: str = ""
    headless: bool = True
    recycle_pages: int = 200
    recycle_seconds: float = 6 * 3600.0

    def __post_init__(self) -> None:
        if not 1 <= self.pages <= 32:
            raise ValueError("`pages` must be between 1 and 32")
        if self.recycle_pages < 1 or self.recycle_seconds < 60:
            raise ValueError("`recycle_pages` must be at least 1 and `recycle_seconds` at least 60")
