"""How a reply is played: the steps of one generation, with their pauses, decided before it begins."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from drivers.playground.prompt import Fault, Kind, read
from drivers.playground.reply import pieces, reply_for

DEFAULT_PIECES = 60
DEFAULT_SECONDS = 3.0
DEFAULT_PAUSE_SECONDS = 4.0
DEFAULT_SLOW_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How fast replies come: `chunks` pieces over `seconds`; `pause` before the first piece of the kind
    `pause`, `slow` in the middle of the kind `slow` (all in seconds)."""

    chunks: int = DEFAULT_PIECES
    seconds: float = DEFAULT_SECONDS
    pause: float = DEFAULT_PAUSE_SECONDS
    slow: float = DEFAULT_SLOW_SECONDS


@dataclass(frozen=True, slots=True)
class Append:
    """Wait, then add `text`. An infinite wait is a stall."""

    wait: float
    text: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Wait, then put `text` in the place of everything so far."""

    wait: float
    text: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Wait, then end the reply as failed."""

    wait: float
    message: str


Step = Append | Replace | Fail


def half_way(prompt: str, pace: Pace) -> int:
    """The number of characters after which a fault "half-way" strikes."""
    cut = pieces(reply_for(prompt), pace.chunks)
    return sum(map(len, cut[: len(cut) // 2]))


def script_for(prompt: str, pace: Pace, *, fault: Fault, argument: float | None) -> Iterator[Step]:
    """The steps that play the reply to `prompt` under `fault`."""
    text, kind = reply_for(prompt), read(prompt).kind
    cut = [text] if kind is Kind.SHORT and text else pieces(text, pace.chunks)
    gap = 0.0 if kind is Kind.SHORT else pace.seconds / max(1, len(cut))
    middle = len(cut) // 2
    shown = ""
    for index, piece in enumerate(cut):
        wait = gap
        if index == 0 and kind is Kind.PAUSE:
            wait += pace.pause
        if index == middle:
            if kind is Kind.SLOW:
                wait += pace.slow
            if fault is Fault.STALL:
                wait += math.inf if argument is None else argument
            elif fault is Fault.ERROR:
                yield Fail(wait, "The model stopped unexpectedly.")
                return
            elif fault is Fault.REWRITE and shown:
                yield Replace(wait, shown)
        shown += piece
        yield Append(wait, draft(piece) if fault is Fault.REWRITE and index < middle else piece)


def draft(text: str) -> str:
    """What the page shows before a rewrite: the same length and shape, other words."""
    return text.translate(_DRAFT)


_DRAFT = str.maketrans("aeiou", "ouaei")
