"""Puts the in-page script together from its files, once."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

AGENT = "__nerv"
"""The property of `window` under which the script can be called."""
EMIT = "__nerv_emit"
"""The binding through which the script reports what it sees."""

_FILES = (
    "dom.js",
    "resolve.js",
    "snapshot.js",
    "controls.js",
    "compose.js",
    "ready.js",
    "overlay.js",
    "observe.js",
)


@cache
def agent_source() -> str:
    """The whole script: one function, without effect where it is already at work (pages that navigate inside)."""
    folder = files("drivers.agent")
    body = "\n".join((folder / name).read_text(encoding="utf-8") for name in _FILES)
    return (
        "(() => {\n"
        f"if (window.{AGENT}) return;\n"
        "const nerv = {};\n"
        f"{body}\n"
        f"Object.defineProperty(window, '{AGENT}', {{ value: nerv, configurable: true }});\n"
        "})();"
    )
