"""Screens that lie over the monitor: details of a task, a question, the help."""

from __future__ import annotations

from tui.screens.confirm import Confirm
from tui.screens.details import Details
from tui.screens.help import Help

__all__ = ("Confirm", "Details", "Help")
