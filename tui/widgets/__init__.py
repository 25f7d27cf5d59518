"""The monitor's own widgets: they draw only what is visible, at fixed widths, and ask nobody anything."""

from __future__ import annotations

from tui.widgets.grid import Grid
from tui.widgets.masthead import Masthead
from tui.widgets.text_view import TextView
from tui.widgets.viewport import Viewport

__all__ = ("Grid", "Masthead", "TextView", "Viewport")
