"""Numbers, ages and foreign text for people: short, of known width, and harmless to a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

_SPARKS = "▁▂▃▄▅▆▇█"

# C0 and C1 controls (an ESC in a reply would command the terminal), and the marks that turn or hide text
# (CVE-2021-42574, "Trojan Source"). Tab and line feed are handled by the caller.
_HOSTILE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def clean(text: str) -> str:
    """``text`` that can do no harm on a terminal: controls shown as ``·``, CRLF as one line end, tabs as spaces."""
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    return _HOSTILE.sub("·", text)


def one_line(text: str, limit: int = 400) -> str:
    """The beginning of ``text`` on one line, at most ``limit`` characters (cut first: it may be huge)."""
    return " ".join(clean(text[:limit]).split())


def fit(text: str, width: int, *, right: bool = False) -> str:
    """``text`` in exactly ``width`` terminal cells: padded, or cut with an ellipsis."""
    if width <= 0:
        return ""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…"
    padding = " " * (width - length)
    return padding + text if right else text + padding


def age(seconds: float) -> str:
    """A span of time in at most 6 cells: ``0.4s``, ``12s``, ``3m20s``, ``2h13m``, ``5d04h``."""
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    days = whole // 86400
    return f"{days}d{whole % 86400 // 3600:02d}h" if days < 100 else f"{days}d"


def size(count: float) -> str:
    """Bytes in at most 5 cells, binary units: ``512B``, ``45.2M``, ``1.3G``."""
    value = float(max(0, count))
    for unit in ("B", "K", "M", "G", "T"):
        if value < 999.5 or unit == "T":
            return f"{value:.0f}{unit}" if unit == "B" or value >= 99.95 else f"{value:.1f}{unit}"
        value /= 1024
    raise AssertionError("unreachable")


def number(value: float) -> str:
    """A count or gauge in at most 6 cells: ``7``, ``0.25``, ``12.4k``, ``3.1M``."""
    if value < 0:
        return f"{value:.0f}"
    if value == int(value) and value < 10_000:
        return str(int(value))
    if value < 100:
        return f"{value:.2f}" if value < 1 else f"{value:.1f}"
    if value < 1000:
        return f"{value:.0f}"
    for unit in ("k", "M", "G"):
        value /= 1000
        if value < 999.5 or unit == "G":
            return f"{value:.1f}{unit}" if value < 99.95 else f"{value:.0f}{unit}"
    raise AssertionError("unreachable")


def counted(count: int, noun: str) -> str:
    """``1 restart``, ``2 restarts``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def sparkline(values: Sequence[float], width: int, *, top: float | None = None) -> str:
    """The last ``width`` values as bars, right-aligned; ``top`` is the full bar (default: the largest value)."""
    shown = values[-width:] if width > 0 else ()
    highest = max(top if top is not None else 0.0, max(shown, default=0.0))
    if highest <= 0:
        bars = _SPARKS[0] * len(shown)
    else:
        bars = "".join(
            _SPARKS[min(len(_SPARKS) - 1, int(max(0.0, v) / highest * (len(_SPARKS) - 0.01)))] for v in shown
        )
    return bars.rjust(width)
