"""A table with fixed column widths and a cursor that stays on its row when rows move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip

from tui.columns import Column
from tui.formats import fit
from tui.looks import FAINT, ORANGE, STYLES, Tone
from tui.widgets.viewport import Viewport

RowT = TypeVar("RowT")
_CURSOR_FOCUSED = Style(bgcolor="#2c3a4d", bold=True)
_CURSOR = Style(bgcolor="#1b232e")


class Grid(Viewport, Generic[RowT]):
    """Rows of ``RowT``, named by ``key``. Cells are made for visible rows only, at every drawing."""

    class Moved(Message):
        """The user has put the cursor on another row."""

        def __init__(self, grid: Grid[Any], key: str) -> None:
            super().__init__()
            self.grid = grid
            self.key = key

        @property
        def control(self) -> Grid[Any]:
            return self.grid

    class Chosen(Moved):
        """The user asks for the details of the row under the cursor."""

    def __init__(
        self,
        columns: tuple[Column[RowT], ...],
        *,
        key: Callable[[RowT], str],
        clock: Callable[[], float],
        empty: str = "",
        **named: Any,
    ) -> None:
        super().__init__(**named)
        self.columns = columns
        self.rows: Sequence[RowT] = ()
        self.cursor_key: str | None = None
        self.led = True
        """The cursor goes where :meth:`point_at` says, until the user takes it."""
        self.empty = empty
        self._key = key
        self._clock = clock
        self._cursor = 0

    @property
    def line_count(self) -> int:
        return len(self.rows)

    @property
    def fixed_lines(self) -> int:
        return 1

    @property
    def current(self) -> RowT | None:
        """The row under the cursor."""
        return self.rows[self._cursor] if self.rows else None

    def show(self, rows: Sequence[RowT]) -> None:
        """Replace the rows; the cursor stays on its row, or near it when the row is gone."""
        self.rows = rows
        self._find_cursor()
        self.refresh()

    def point_at(self, key: str | None) -> None:
        """Put the cursor on a row without the user (no message)."""
        if key != self.cursor_key:
            self.cursor_key = key
            self._find_cursor()
            self.refresh()

    def _find_cursor(self) -> None:
        at = next((i for i, row in enumerate(self.rows) if self._key(row) == self.cursor_key), None)
        moved = at is not None and at != self._cursor
        self._cursor = at if at is not None else max(0, min(self._cursor, len(self.rows) - 1))
        self.cursor_key = self._key(self.rows[self._cursor]) if self.rows else self.cursor_key
        if moved or self.top > self.max_top:
            self._show_cursor()

    def _show_cursor(self) -> None:
        height = max(1, self.body_height)
        if self._cursor < self.top:
            self.top = self._cursor
        elif self._cursor >= self.top + height:
            self.top = self._cursor - height + 1
        self.top = max(0, min(self.top, self.max_top))

    # -- input ------------------------------------------------------------------------------------------------

    def move(self, lines: int) -> None:
        if self.rows:
            self.led = False  # at once: the program may draw before the message below is read
            self._cursor = max(0, min(self._cursor + lines, len(self.rows) - 1))
            self.cursor_key = self._key(self.rows[self._cursor])
            self._show_cursor()
            self.refresh()
            self.post_message(self.Moved(self, self.cursor_key))

    def on_click(self, event: events.Click) -> None:
        index = self.top + event.y - self.fixed_lines - self.gutter.top
        if event.y - self.gutter.top >= self.fixed_lines and 0 <= index < len(self.rows):
            self.move(index - self._cursor)
            if event.chain == 2:
                self.post_message(self.Chosen(self, self._key(self.rows[index])))

    # -- drawing ----------------------------------------------------------------------------------------------

    def _layout(self, width: int) -> list[tuple[Column[RowT], int]]:
        shown = [column for column in self.columns if width + 1 >= column.from_width]
        fixed = sum(column.width + 1 for column in shown if column.width)
        return [(column, column.width or max(0, width - fixed)) for column in shown]

    def fixed_line(self, y: int, width: int) -> Strip:
        text = " ".join(fit(c.title, w, right=c.right) for c, w in self._layout(width))
        return Strip(
            [Segment(fit(text, width), Style(color=ORANGE if self.has_focus else FAINT, bold=True))], width
        )

    def line(self, index: int, width: int) -> Strip:
        row, now = self.rows[index], self._clock()
        base = Style.null()
        if index == self._cursor:
            base = _CURSOR_FOCUSED if self.has_focus else _CURSOR
        segments = []
        for column, cells in self._layout(width):
            text, tone = column.cell(row, now)
            segments.append(Segment(fit(text, cells, right=column.right) + " ", STYLES[tone] + base))
        return Strip(segments).adjust_cell_length(width, base)

    def render_line(self, y: int) -> Strip:
        if not self.rows and y == self.fixed_lines and self.empty:
            text = fit(f" {self.empty}", self.body_width + 1)
            return Strip([Segment(text, STYLES[Tone.FAINT])]).apply_style(self.rich_style)
        return super().render_line(y)
