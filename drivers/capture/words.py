"""Markdown and drawn text as words, with what each word is worth as evidence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from html.parser import HTMLParser


class Worth(IntEnum):
    REQUIRED = 0
    """The page must show it."""
    OPTIONAL = 1
    """Markup, addresses, list numbers: shown or not."""
    CODE = 2
    """The page shows it, unless it draws only a part of long code."""
    WILD = 3
    """Drawn as something else (formulas, bare addresses, diagrams)."""


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    worth: Worth
    start: int
    end: int


_WORD = re.compile(r"[^\W_]+")
_FENCE = re.compile(r"^[ \t>]*(?:[-*+]\s+|\d+[.)]\s+)?(?P<mark>`{3,}|~{3,})(?P<info>[^\n`]*)$", re.MULTILINE)
_INLINE_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_HIDDEN = "\x00"
_DRAWN_LANGUAGES = frozenset(
    {"mermaid", "svg", "plotly", "chart", "echarts", "vega", "vega-lite", "dot", "graphviz", "math"}
)

_OPTIONAL = [
    re.compile(r"!\[[^\]\n]*\]\([^()\s]*(?:\([^()]*\)[^()\s]*)*(?:\s+\"[^\"\n]*\")?\)"),  # image
    re.compile(r"(?<=\])\([^()\s]*(?:\([^()]*\)[^()\s]*)*(?:\s+[\"'(][^\n]*?[\"')])?\)"),  # target of a link
    re.compile(r"(?<=\])\[[^\]\n]*\]"),  # reference of a link
    re.compile(r"^ {0,3}\[[^\]\n]+\]:[^\n]*$", re.MULTILINE),  # definition of a link
    re.compile(r"\[\^[^\]\n]+\]"),  # footnote
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"</?[A-Za-z][\w-]*(?:\s+[^<>\n]*)?/?>"),
    re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z]\w*);"),
    re.compile(r"^[ \t>]*(?:[-*+][ \t]+)?\d+[.)](?=\s)", re.MULTILINE),  # number of a list item
    re.compile(r"^[ \t>]*[-*+][ \t]+\[[xX ]\](?=\s)", re.MULTILINE),  # task
    re.compile(r":[a-z0-9_+-]+:"),  # emoji by name
    re.compile(r"【[^】\n]*】"),  # citation marks
]
_WILD = [
    re.compile(r"\$\$.+?\$\$", re.DOTALL),
    re.compile(r"\\\[.+?\\\]", re.DOTALL),
    re.compile(r"\\\(.+?\\\)", re.DOTALL),
    re.compile(r"(?<![\\$\w])\$(?!\s)[^$\n]+?(?<!\s)\$(?![\d$])"),
    re.compile(r"<?https?://[^\s<>)\]]+>?"),
]
THINK = re.compile(r"^\s*<(think|thinking|thought|reasoning)>.*?</\1>\s*", re.DOTALL)

_HTML_BLOCK = re.compile(
    r"</?(?:p|div|li|ul|ol|h[1-6]|table|tbody|tr|td|th|span|pre|code|strong|em|a)\b[^<>]*>", re.IGNORECASE
)


def page_words(text: str) -> list[Word]:
    return [Word(m[0].casefold(), Worth.REQUIRED, m.start(), m.end()) for m in _WORD.finditer(text)]


def markdown_words(text: str) -> list[Word]:
    """The words of a Markdown text in order."""
    kinds = bytearray(len(text))
    masked = _mark_code(text, kinds)
    for worth, patterns in ((Worth.OPTIONAL, _OPTIONAL), (Worth.WILD, _WILD)):
        for pattern in patterns:
            for found in pattern.finditer(masked):
                if not any(kinds[found.start() : found.end()]):
                    kinds[found.start() : found.end()] = bytes([worth]) * (found.end() - found.start())
    return [
        Word(m[0].casefold(), Worth(max(kinds[m.start() : m.end()])), m.start(), m.end())
        for m in _WORD.finditer(text)
    ]


def _mark_code(text: str, kinds: bytearray) -> str:
    """Mark fenced code in ``kinds``; give the text with code and escaped characters hidden."""
    masked = list(text)
    opening: re.Match[str] | None = None
    plain_from = 0
    spans: list[tuple[int, int]] = []
    for fence in [*_FENCE.finditer(text), None]:
        if opening is None:
            end = len(text) if fence is None else fence.start()
            spans.append((plain_from, end))
            opening = fence
            if fence is not None:
                _fill(kinds, fence.start("info"), fence.end("info"), Worth.OPTIONAL)
                _hide(masked, fence.start(), fence.end())
        elif fence is None or _closes(opening, fence):
            end = len(text) if fence is None else fence.start()
            language = opening["info"].strip().split(" ")[0].lower()
            worth = Worth.WILD if language in _DRAWN_LANGUAGES else Worth.CODE
            _fill(kinds, opening.end(), end, worth)
            _hide(masked, opening.end(), end)
            if fence is not None:
                _hide(masked, fence.start(), fence.end())
                plain_from = fence.end()
            opening = None
    for start, end in spans:
        for found in _INLINE_CODE.finditer(text, start, end):
            if "\n\n" not in found[0]:
                _hide(masked, found.start(), found.end())
        for escape in re.finditer(r"\\[!-'*-/:-@^-`{-~]", text[start:end]):
            _hide(masked, start + escape.start(), start + escape.end())
    return "".join(masked)


def _closes(opening: re.Match[str], fence: re.Match[str]) -> bool:
    mark = opening["mark"]
    return fence["mark"][0] == mark[0] and len(fence["mark"]) >= len(mark) and not fence["info"].strip()


def _fill(kinds: bytearray, start: int, end: int, worth: Worth) -> None:
    kinds[start:end] = bytes([worth]) * (end - start)


def _hide(masked: list[str], start: int, end: int) -> None:
    for at in range(start, end):
        if masked[at] != "\n":
            masked[at] = _HIDDEN


def is_html(text: str, page_text: str) -> bool:
    """Whether ``text`` is HTML that the page renders, and so is no Markdown."""
    masked = _mark_code(text, bytearray(len(text)))
    tags = _HTML_BLOCK.findall(masked)
    if not tags:
        return False
    shown = sum(1 for tag in tags if tag in page_text)
    if shown == len(tags):
        return False
    return (len(tags) >= 2 and bool(re.match(r"\s*<", text))) or len(tags) > 2 + len(text) // 400


TAIL_CHARS = 24
"""What may follow a reply in a piece of HTML: a time, the names of some buttons."""
_UNSEEN = frozenset({"script", "style", "template", "title"})
_INLINE = frozenset(
    {
        "a",
        "abbr",
        "b",
        "bdi",
        "cite",
        "code",
        "del",
        "em",
        "i",
        "ins",
        "kbd",
        "mark",
        "s",
        "small",
        "span",
        "strong",
    }
    | {"sub", "sup", "u", "wbr"}
)


class _Drawn(HTMLParser):
    """The text that a page shows of HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._unseen += tag in _UNSEEN
        self._between(tag)

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= tag in _UNSEEN and self._unseen > 0
        self._between(tag)

    def _between(self, tag: str) -> None:
        if tag not in _INLINE:
            self.texts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.texts.append(data)


def draws(text: str, page_text: str) -> bool:
    """Whether ``text`` is HTML of which ``page_text`` is the last part, but for a few characters."""
    shown = "".join(word.text for word in page_words(page_text))
    if not shown or "<" not in text:
        return False
    parser = _Drawn()
    parser.feed(text)
    parser.close()
    whole = "".join(word.text for word in page_words("".join(parser.texts)))
    at = whole.rfind(shown)
    return at >= 0 and len(whole) - at - len(shown) <= TAIL_CHARS


_MARKUP = re.compile(r"[\s*_~`#>|\\\u200b\u200c\u200d\ufeff-]+|\]\([^)]*\)|\[")


def visible(text: str) -> str:
    """What a reader sees of a short text: no blanks, no Markdown signs; case and punctuation kept."""
    return _MARKUP.sub("", text)
