"""Lines of text that follow their end, and stay put as soon as the reader scrolls up."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.strip import Strip

from tui.widgets.viewport import Viewport

TextLine = tuple[tuple[str, Style], ...]
"""One line: pieces with their styles, already no wider than the view."""


class TextView(Viewport):
    """Shows ``lines``. Textual's RichLog pulls a reader who has scrolled up back to the end (textual#6311): the view
    follows only while its last line is in sight."""

    lines: Sequence[TextLine] = ()
    following = True

    @property
    def line_count(self) -> int:
        return len(self.lines)

    def show(self, lines: Sequence[TextLine], *, dropped: int = 0, restart: bool = False) -> None:
        """Replace the lines. ``dropped``: so many lines left at the top since the last call (a bounded log): a reader
        who has scrolled up keeps the same lines in view. ``restart``: another text begins, follow it."""
        self.lines = lines
        if restart:
            self.following = True
        if self.following:
            self.top = self.max_top
        else:
            self.top = max(0, min(self.top - dropped, self.max_top))
        self.refresh()

    def scroll_lines_to(self, top: int) -> None:
        super().scroll_lines_to(top)
        self.following = self.at_end

    def on_resize(self, event: events.Resize) -> None:
        if self.following:
            self.top = self.max_top
            self.refresh()

    def line(self, index: int, width: int) -> Strip:
        return Strip([Segment(text, style) for text, style in self.lines[index]])
