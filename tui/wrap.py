"""Wraps text to terminal cells, line by line, so that a growing text costs only its last line again."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from rich.cells import cell_len, get_character_cell_size

_WORDS = re.compile(r"\s*\S+|\s+$")


class Tint(StrEnum):
    """What a line of Markdown is, as far as its beginning shows; decides its colour, never its text."""

    TEXT = "text"
    HEADING = "heading"
    CODE = "code"
    FENCE = "fence"
    QUOTE = "quote"
    ITEM = "item"


class Line(NamedTuple):
    text: str
    tint: Tint


def wrap(line: str, width: int) -> list[str]:
    """``line`` (without a line end) in pieces of at most ``width`` cells; words stay whole where they fit."""
    if width < 2:
        width = 2
    if cell_len(line) <= width:
        return [line]
    pieces: list[str] = []
    current, used = "", 0
    for word in _WORDS.findall(line):
        length = cell_len(word)
        if used + length <= width:
            current += word
            used += length
            continue
        if current.strip():
            pieces.append(current)
            word = word.lstrip()
        else:
            word = current + word
        current, used = "", 0
        for character in word:
            cells = get_character_cell_size(character)
            if used + cells > width:
                pieces.append(current)
                current, used = "", 0
            current += character
            used += cells
    if current or not pieces:
        pieces.append(current)
    return pieces


class Wrapped:
    """Wrapped lines of a text. ``update`` is cheap when the new text only adds to the old one."""

    def __init__(self, width: int = 80) -> None:
        self.lines: list[Line] = []
        self._width = width
        self._text = ""
        self._done_chars = 0
        self._done_lines = 0
        self._in_fence = False

    def update(self, text: str, width: int) -> int:
        """Show ``text`` at ``width`` cells; returns how many lines at the beginning are as they were."""
        grows = width == self._width and text.startswith(self._text)
        if not grows:
            self.lines.clear()
            self._done_chars = self._done_lines = 0
            self._in_fence = False
        self._text, self._width = text, width
        kept = self._done_lines
        del self.lines[kept:]
        start = self._done_chars
        while (end := text.find("\n", start)) >= 0:
            self._in_fence = self._add(text[start:end], self._in_fence)
            start = end + 1
        self._done_chars, self._done_lines = start, len(self.lines)
        if start < len(text):
            self._add(text[start:], self._in_fence)
        return kept

    def _add(self, line: str, in_fence: bool) -> bool:
        """Append the pieces of one line; returns whether a code fence is open after it."""
        tint = _tint(line, in_fence)
        self.lines.extend(Line(piece, tint) for piece in wrap(line, self._width))
        return in_fence != (tint is Tint.FENCE)


def _tint(line: str, in_fence: bool) -> Tint:
    stripped = line.lstrip()
    if stripped.startswith(("```", "~~~")):
        return Tint.FENCE
    if in_fence:
        return Tint.CODE
    if re.match(r"#{1,6} ", line):
        return Tint.HEADING
    if stripped.startswith(">"):
        return Tint.QUOTE
    if re.match(r"([-*+]|\d+[.)]) ", stripped):
        return Tint.ITEM
    return Tint.TEXT
