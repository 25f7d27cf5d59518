"""What one pass over a frame collects: everything that could be an input or a control."""

from __future__ import annotations

import msgspec


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An element that could be an input or a control. Coordinates in CSS pixels of its frame's viewport."""

    pick: int
    kind: str
    tag: str
    type: str = ""
    role: str = ""
    label: str = ""
    placeholder: str = ""
    name: str = ""
    text: str = ""
    icon: str = ""
    visible: bool = True
    disabled: bool = False
    covered: bool = False
    editable: bool = False
    multiline: bool = False
    submit: bool = False
    form: str = ""
    form_password: bool = False
    searching: bool = False
    banner: bool = False
    dialog: bool = False
    focused: bool = False
    maxlength: int = 0
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0

    @property
    def words(self) -> str:
        """Everything that names it, for a look at words."""
        return f"{self.label} {self.placeholder} {self.text} {self.name}".lower()

    @property
    def signature(self) -> tuple[str, str, str, str, int, int]:
        """Enough to know an element again in a later pass."""
        return (self.tag, self.label, self.icon, self.text, round(self.x), round(self.y))


class PageSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One frame at one moment."""

    inputs: tuple[Candidate, ...] = ()
    controls: tuple[Candidate, ...] = ()
    width: float = 0.0
    height: float = 0.0
    title: str = ""
    url: str = ""
    passwords: int = 0
    text: int = 0
