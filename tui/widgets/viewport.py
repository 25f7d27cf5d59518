"""A window onto many lines, drawn line by line: only what is visible costs anything."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.strip import Strip
from textual.widget import Widget

from tui.looks import FAINT, RULE

WHEEL_LINES = 3


class Viewport(Widget, can_focus=True):
    """Base of the tables and texts. ``top`` is the first visible line; the last column is the scroll bar."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False),
        Binding("home,g", "edge(-1)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
    ]

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.top = 0
        self.dimmed = False
        """What is shown is old: draw it faintly."""

    # -- what a subclass says ---------------------------------------------------------------------------------

    @property
    def line_count(self) -> int:
        raise NotImplementedError

    @property
    def fixed_lines(self) -> int:
        """Lines at the top that do not scroll (the heading of a table)."""
        return 0

    def fixed_line(self, y: int, width: int) -> Strip:
        raise NotImplementedError

    def line(self, index: int, width: int) -> Strip:
        raise NotImplementedError

    def move(self, lines: int) -> None:
        """The user moved by so many lines; a table moves its cursor instead of its window."""
        self.scroll_lines_to(self.top + lines)

    # -- geometry ---------------------------------------------------------------------------------------------

    @property
    def body_height(self) -> int:
        return max(0, self.content_size.height - self.fixed_lines)

    @property
    def body_width(self) -> int:
        return max(1, self.content_size.width - 1)

    @property
    def max_top(self) -> int:
        return max(0, self.line_count - self.body_height)

    @property
    def at_end(self) -> bool:
        return self.top >= self.max_top

    def scroll_lines_to(self, top: int) -> None:
        self.top = max(0, min(top, self.max_top))
        self.refresh()

    # -- input ------------------------------------------------------------------------------------------------

    def action_move(self, lines: int) -> None:
        self.move(lines)

    def action_page(self, pages: int) -> None:
        self.move(pages * max(1, self.body_height - 1))

    def action_edge(self, end: int) -> None:
        self.move(end * max(1, self.line_count))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.scroll_lines_to(self.top + WHEEL_LINES)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.scroll_lines_to(self.top - WHEEL_LINES)

    # -- drawing ----------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        width = self.body_width
        if y < self.fixed_lines:
            strip = self.fixed_line(y, width)
        else:
            index = self.top + y - self.fixed_lines
            strip = self.line(index, width) if index < self.line_count else Strip.blank(width)
        if self.dimmed:
            strip = Strip(
                [
                    Segment(text, (style or Style.null()) + Style(dim=True), control)
                    for text, style, control in strip
                ],
                strip.cell_length,
            )
        strip = strip.adjust_cell_length(width)
        return Strip.join([strip, self._scroll_bar(y)]).apply_style(self.rich_style)

    def _scroll_bar(self, y: int) -> Strip:
        height, row = self.body_height, y - self.fixed_lines
        if row < 0 or self.line_count <= height or height < 2:
            return Strip.blank(1)
        thumb = max(1, round(height * height / self.line_count))
        start = round(self.top * (height - thumb) / max(1, self.max_top))
        inside = start <= row < start + thumb
        return Strip([Segment("┃" if inside else "│", Style(color=FAINT if inside else RULE))], 1)
