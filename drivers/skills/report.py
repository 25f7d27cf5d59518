"""What the in-page script reports, and what it says about the reply. Pure."""

from __future__ import annotations

import msgspec

from drivers.recipes.recipe import Completion

PART_WORDS, PART_SHARE = 3, 0.15
"""Where no rule says what the reply is: a part must be so many words, and so much of what was taken for the reply.
Names and labels are on the wire too."""
PART_OF_KNOWN = 0.3
"""Where the wire gave a text by a rule: a part that shows it draws at least so much of its characters."""
PARTS_TRIED = 12


class InputState(msgspec.Struct, frozen=True):
    present: bool = False
    disabled: bool = False
    value: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the in-page script reports; ``offset`` in UTF-16 units, as the page counts."""

    id: int
    user: bool
    reply: bool
    reply_controls: tuple[str, ...]
    """Controls of the reply's turn, outside the reply's own text."""
    inner_controls: int
    rewritten: bool
    offset: int
    text: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    input: InputState
    input_flicked: bool = False
    """The input was disabled after the beginning, and is enabled again."""
    control_flicked: bool = False
    """The same of another control, which is where it was."""
    busy: bool
    fresh: int
    loaded: bool = False
    """The document and all that belongs to it have arrived."""
    spinning: bool = False
    """More is in endless motion on the page than before the prompt was sent."""
    indicator_gone: bool = False
    """A short text stood beside the growing reply, and was taken away."""
    alerts: tuple[str, ...]
    url: str
    passwords: int
    quiet: float = 0.0


def likely_parts(parts: tuple[str, ...], taken: str, known: str, *, by_rule: bool) -> list[tuple[int, str]]:
    """The parts that may be the reply, with their places; largest first, a few. ``taken``: what counts as it now."""
    likely = [
        (index, text)
        for index, text in enumerate(parts)
        if text != taken
        and (
            PART_OF_KNOWN * len(known) <= len(text) <= 2 * len(known)
            or (not by_rule and len(text.split()) >= PART_WORDS and len(text) >= PART_SHARE * len(taken))
        )
    ]
    return sorted(likely, key=lambda it: -len(it[1]))[:PARTS_TRIED]


def turn_controls(report: Report) -> int:
    return len(report.reply_controls) + report.inner_controls


def tells_apart(signature: str) -> bool:
    """Whether a control's signature names one kind: a bare box without label or icon may be anything."""
    tag, label, icon, _ = signature.rsplit("|", 3)
    return bool(label or icon) or tag in ("button", "input", "a")


def utf16_prefix(text: str, units: int) -> str:
    """The first ``units`` UTF-16 code units of a text."""
    if units >= len(text) and text.isascii():
        return text
    if text.isascii():
        return text[:units]
    return text.encode("utf-16-le", "surrogatepass")[: 2 * units].decode("utf-16-le", "surrogatepass")


def controls_differ(added: tuple[str, ...], removed: tuple[str, ...], completion: Completion) -> bool:
    """Are the controls other than on the idle page? What was learned to stay after a reply does not count.

    On a page that was learned, a control that merely became usable does not count either, unless it is one of
    those that are usable only while a reply is made: pages wake their controls late.
    """
    more = set(added) - set(completion.settled)
    less = set(removed) - set(completion.gone)
    if completion.learned:
        woken = {
            s for s in more if s.endswith("|on") and s not in completion.busy and f"{s[:-3]}|off" in less
        }
        more -= woken
        less -= {f"{s[:-3]}|off" for s in woken}
    return bool(more or less)
