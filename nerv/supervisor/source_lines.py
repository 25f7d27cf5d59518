"""Which line of a TOML text a key is on. The parser of the standard library does not tell."""

from __future__ import annotations

import re

_HEADER = re.compile(r"^\s*\[\[?([^\[\]]+)\]\]?\s*(?:#.*)?$")
_KEY = re.compile(
    r"^\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*="
)
_PART = re.compile(r"[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'")

Path = tuple[str, ...]


class SourceLines:
    """Lines (from 1) of tables and keys of one valid TOML text."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        table: Path = ()
        quote: str | None = None
        for number, line in enumerate(text.splitlines(), start=1):
            if quote is not None:
                if quote in line:
                    quote = None
                continue
            if header := _HEADER.match(line):
                table = _split(header.group(1))
                self._add(table, number)
            elif key := _KEY.match(line):
                self._add(table + _split(key.group(1)), number)
            for mark in ('"""', "'''"):
                if line.count(mark) % 2:
                    quote = mark

    def _add(self, path: Path, number: int) -> None:
        for size in range(1, len(path) + 1):
            self._lines.setdefault(path[:size], number)

    def of(self, path: Path) -> int:
        """The line of ``path``, or of the nearest table around it; 1 if none is written."""
        for size in range(len(path), 0, -1):
            if path[:size] in self._lines:
                return self._lines[path[:size]]
        return 1


def _split(dotted: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))
