"""The keys, from the registry of actions."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui.actions import ACTIONS, CHANGING, MOVEMENT
from tui.filters import HELP
from tui.formats import fit
from tui.looks import ACTOR_LOOKS, STYLES, TASK_LOOKS, Tone
from tui.widgets.text_view import TextLine, TextView


class Help(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,f1,enter", "leave", "Close")]

    def __init__(self, *, read_only: bool) -> None:
        super().__init__()
        self._read_only = read_only

    def compose(self) -> ComposeResult:
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = "Help"
            sheet.border_subtitle = "esc close"
            yield TextView(id="help")

    def on_mount(self) -> None:
        view = self.query_one("#help", TextView)
        view.following = False
        view.show(help_lines(read_only=self._read_only))
        view.focus()

    def action_leave(self) -> None:
        self.dismiss(None)


def help_lines(*, read_only: bool) -> tuple[TextLine, ...]:
    """Keys, filter grammar and symbols, one line each, within 76 cells."""

    def heading(text: str) -> TextLine:
        return ((text, STYLES[Tone.BRAND]),)

    def entry(key: str, text: str, tone: Tone = Tone.PLAIN) -> TextLine:
        return ((fit(f"  {key}", 14), STYLES[Tone.BUSY]), (text, STYLES[tone]))

    keys = [
        entry(
            action.shown_key or action.key,
            action.help + (" — off: read-only" if read_only and action.method in CHANGING else ""),
            Tone.FAINT if read_only and action.method in CHANGING else Tone.PLAIN,
        )
        for action in ACTIONS
    ]
    tasks = [
        ((f"  {symbol} {state.lower():12}", STYLES[tone])) for state, (symbol, tone) in TASK_LOOKS.items()
    ]
    actors = [((f"  {symbol} {state:12}", STYLES[tone])) for state, (symbol, tone) in ACTOR_LOOKS.items()]
    return (
        heading("Keys"),
        *keys,
        heading("Moving"),
        *(entry(key, text) for key, text in MOVEMENT),
        heading("Filter"),
        entry("/", HELP),
        heading("Symbols of tasks"),
        tuple(tasks[:4]),
        tuple(tasks[4:]),
        heading("Symbols of actors"),
        tuple(actors[:4]),
        tuple(actors[4:]),
    )
