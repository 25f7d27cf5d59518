"""The driver actor: owns one Chromium and works on leased tasks in it."""

from __future__ import annotations

from actors.driver.actor import DriverActor

__all__ = ("DriverActor",)
