"""What a user can do in the monitor: one registry that feeds the keys, the footer, the help and the palette."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True, kw_only=True)
class Action:
    """``name`` is the method ``action_<name>`` of the app; ``changes``: it changes the cluster (not in read-only)."""

    key: str
    name: str
    label: str
    help: str
    footer: bool = False
    changes: bool = False
    shown_key: str | None = None

    @property
    def method(self) -> str:
        return self.name.partition("(")[0]


ACTIONS: tuple[Action, ...] = (
    Action(key="q", name="leave", label="Quit", help="leave the monitor; the cluster goes on", footer=True),
    Action(
        key="slash", name="filter", label="Filter", help="show only some tasks", footer=True, shown_key="/"
    ),
    Action(
        key="enter",
        name="details",
        label="Details",
        help="all fields and the history of the task",
        footer=True,
        shown_key="⏎",
    ),
    Action(
        key="r",
        name="retry",
        label="Retry",
        help="run a dead or cancelled task again, a waiting one now",
        footer=True,
        changes=True,
    ),
    Action(
        key="c", name="cancel", label="Cancel", help="cancel the task (asks first)", footer=True, changes=True
    ),
    Action(
        key="R",
        name="restart",
        label="Restart",
        help="restart the actor under the cursor (asks first)",
        footer=True,
        changes=True,
    ),
    Action(key="v", name="view('reply')", label="Reply", help="show the reply of the task as it grows"),
    Action(
        key="l", name="view('logs')", label="Logs", help="show warnings and errors of all actors", footer=True
    ),
    Action(
        key="b", name="view('providers')", label="Breakers", help="show providers and their circuit breakers"
    ),
    Action(
        key="z",
        name="zoom",
        label="Zoom",
        help="give the whole screen to the focused panel, and back",
        footer=True,
    ),
    Action(key="a", name="auto", label="Auto", help="let the cursor follow the running tasks again"),
    Action(
        key="y",
        name="copy",
        label="Copy",
        help="copy the reply (OSC 52: over SSH too)",
    ),
    Action(
        key="f5", name="resync", label="Resync", help="ask the cluster for everything again", shown_key="F5"
    ),
    Action(key="question_mark,f1", name="help", label="Help", help="this page", footer=True, shown_key="?"),
    Action(key="escape", name="step_back", label="Back", help="leave the filter, the zoom", shown_key="esc"),
)

MOVEMENT: tuple[tuple[str, str], ...] = (
    ("tab ⇧tab", "next, previous panel"),
    ("↑ ↓ k j", "move the cursor, scroll"),
    ("PgUp PgDn", "a page (also ctrl+u, ctrl+d)"),
    ("g G", "first, last (at its end a reply is followed)"),
    ("ctrl+p", "command palette"),
)


def bindings() -> list[Binding]:
    return [
        Binding(a.key, a.name, a.label, show=a.footer, key_display=a.shown_key, tooltip=a.help)
        for a in ACTIONS
    ]


CHANGING = frozenset(action.method for action in ACTIONS if action.changes)
