"""A question before something is changed. The safe answer has the focus."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static


class Confirm(ModalScreen[bool]):
    """Dismisses with True only when the user presses the button that names the deed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,n", "refuse", "Cancel"),
        Binding("left,right,h,l", "app.focus_next", "Other button", show=False),
    ]

    def __init__(self, question: str, consequence: str, deed: str) -> None:
        super().__init__()
        self._question = question
        self._consequence = consequence
        self._deed = deed

    def compose(self) -> ComposeResult:
        with Vertical(id="confirm"):
            yield Static(self._question, id="question", markup=False)
            yield Static(self._consequence, id="consequence", markup=False)
            with Horizontal(id="answers"):
                yield Button("Cancel", id="refuse")
                yield Button(self._deed, id="accept")

    def on_mount(self) -> None:
        self.query_one("#refuse", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "accept")

    def action_refuse(self) -> None:
        self.dismiss(False)
