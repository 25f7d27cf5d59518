"""Symbols and colours. A colour never stands alone: each state has a symbol of its own, so NO_COLOR loses nothing."""

from __future__ import annotations

from enum import StrEnum

from rich.style import Style
from textual.theme import Theme

from kernel.tasks import TaskState
from nerv.messages import ActorState
from tui.model import LinkState
from tui.wrap import Tint

BACKGROUND = "#0e1116"
RAISED = "#161b23"
RULE = "#2b3442"
TEXT = "#d5dbe3"
FAINT = "#76839a"
ORANGE = "#ff9d45"
GREEN = "#5bd08a"
CYAN = "#58c4f6"
YELLOW = "#f0c04c"
RED = "#ff6470"
VIOLET = "#b79bf7"

THEME = Theme(
    name="nerv",
    primary=ORANGE,
    secondary=CYAN,
    accent=ORANGE,
    success=GREEN,
    warning=YELLOW,
    error=RED,
    foreground=TEXT,
    background=BACKGROUND,
    surface=BACKGROUND,
    panel=RAISED,
    variables={
        "rule": RULE,
        "faint": FAINT,
        "footer-background": RAISED,
        "footer-key-foreground": ORANGE,
        "footer-description-foreground": FAINT,
        "input-cursor-background": ORANGE,
    },
)


class Tone(StrEnum):
    """What a piece of text means; the one place that turns meaning into colour is :data:`STYLES`."""

    PLAIN = "plain"
    STRONG = "strong"
    FAINT = "faint"
    GOOD = "good"
    BUSY = "busy"
    WAIT = "wait"
    BAD = "bad"
    ODD = "odd"
    BRAND = "brand"


STYLES: dict[Tone, Style] = {
    Tone.PLAIN: Style(color=TEXT),
    Tone.STRONG: Style(color="#ffffff", bold=True),
    Tone.FAINT: Style(color=FAINT),
    Tone.GOOD: Style(color=GREEN),
    Tone.BUSY: Style(color=CYAN),
    Tone.WAIT: Style(color=YELLOW),
    Tone.BAD: Style(color=RED, bold=True),
    Tone.ODD: Style(color=VIOLET),
    Tone.BRAND: Style(color=ORANGE, bold=True),
}
TINTS: dict[Tint, Style] = {
    Tint.TEXT: Style(color=TEXT),
    Tint.HEADING: Style(color=ORANGE, bold=True),
    Tint.CODE: Style(color="#9fd6b8"),
    Tint.FENCE: Style(color=FAINT),
    Tint.QUOTE: Style(color=FAINT, italic=True),
    Tint.ITEM: Style(color=TEXT),
}

ACTOR_LOOKS: dict[ActorState, tuple[str, Tone]] = {
    ActorState.READY: ("●", Tone.GOOD),
    ActorState.STARTING: ("◐", Tone.BUSY),
    ActorState.STOPPING: ("◑", Tone.WAIT),
    ActorState.BACKOFF: ("↻", Tone.WAIT),
    ActorState.PARKED: ("⏸", Tone.BAD),
    ActorState.REFUSED: ("✗", Tone.BAD),
    ActorState.STOPPED: ("○", Tone.FAINT),
    ActorState.FINISHED: ("✓", Tone.FAINT),
}
TASK_LOOKS: dict[TaskState, tuple[str, Tone]] = {
    TaskState.PENDING: ("○", Tone.WAIT),
    TaskState.RUNNING: ("▶", Tone.BUSY),
    TaskState.RETRY: ("↻", Tone.ODD),
    TaskState.FAILED: ("!", Tone.BAD),
    TaskState.DONE: ("✓", Tone.GOOD),
    TaskState.DEAD: ("✗", Tone.BAD),
    TaskState.CANCELLED: ("⊘", Tone.FAINT),
}
LINK_LOOKS: dict[LinkState, tuple[str, Tone]] = {
    LinkState.LIVE: ("●", Tone.GOOD),
    LinkState.STALE: ("◌", Tone.WAIT),
    LinkState.CONNECTING: ("◌", Tone.WAIT),
    LinkState.LOST: ("✗", Tone.BAD),
}
LOG_LOOKS: dict[str, tuple[str, Tone]] = {
    "critical": ("✗", Tone.BAD),
    "error": ("✗", Tone.BAD),
    "warning": ("!", Tone.WAIT),
    "info": ("·", Tone.PLAIN),
    "debug": ("·", Tone.FAINT),
}
BREAKER_LOOKS: dict[str, tuple[str, Tone]] = {
    "closed": ("●", Tone.GOOD),
    "half-open": ("◐", Tone.WAIT),
    "half_open": ("◐", Tone.WAIT),
    "open": ("✗", Tone.BAD),
}
