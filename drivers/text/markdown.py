"""HTML to Markdown: a library does the prose; code, formulas and column alignment are kept out of its hands."""

from __future__ import annotations

import html as entities
import re

from html_to_markdown import ConversionOptions, convert

_PRE = re.compile(r"<pre\b(?P<attributes>[^>]*)>(?P<body>.*?)</pre\s*>", re.DOTALL | re.IGNORECASE)
_LANGUAGE = re.compile(r"""(?:^|[\s"'])(?:language|lang)-([^\s"'<>]+)""")
_MATH = re.compile(r'<math-(?P<kind>block|inline)\s+tex="(?P<tex>[^"]*)"\s*>\s*</math-(?:block|inline)>')
_TABLE = re.compile(r"<table\b.*?</table\s*>", re.DOTALL | re.IGNORECASE)
_HEAD_CELL = re.compile(r"<th\b([^>]*)>", re.IGNORECASE)
_FIRST_ROW = re.compile(r"<tr\b.*?</tr\s*>", re.DOTALL | re.IGNORECASE)
_CELL = re.compile(r"<t[hd]\b([^>]*)>", re.IGNORECASE)
_ALIGN = re.compile(r"""(?:text-align\s*:\s*|align\s*=\s*["']?)(left|right|center)""", re.IGNORECASE)
_RULE_ROW = re.compile(r"^(?P<lead>[ >]*)\|(?:\s*:?-+:?\s*\|)+\s*$", re.MULTILINE)
_SVG = re.compile(r"<svg\b.*?</svg\s*>", re.DOTALL | re.IGNORECASE)
_BUTTON = re.compile(r"<button\b.*?</button\s*>", re.DOTALL | re.IGNORECASE)
_PLACE = re.compile(r"NERVPLACE(\d+)X")
_ANCHOR_END = re.compile(r"^(#{1,6} .*?)[ \t]*\[?[¶#🔗]\]?(?:\([^)]*\))?[ \t]*$", re.MULTILINE)

_AFTER_BREAK = re.compile(r"(?<=<br>)\s+")
_BARE_NEWLINE = re.compile(r"[^\s>][^\S\n]*\n\s*[^\s<]")
"""A line end inside running text: this page does not draw line ends as breaks, so its breaks were written as such.
Most chat pages draw every line end as a break, and two blanks before one are rarely written."""

_OPTIONS = ConversionOptions(
    extract_metadata=False, bullets="-", autolinks=False, heading_style="atx", compact_tables=True
)


def html_to_markdown(html: str) -> str:
    """Markdown of an HTML fragment, ending in one newline; "" for a fragment without content.

    Code is copied byte for byte inside fences long enough for it; ``<math-inline tex>`` and ``<math-block tex>``
    become ``$…$`` and ``$$…$$``; columns keep the alignment of their first row.
    """
    kept: list[str] = []

    def keep(text: str) -> str:
        kept.append(text)
        return f"NERVPLACE{len(kept) - 1}X"

    html = _BUTTON.sub("", _SVG.sub("", html))
    html = _PRE.sub(lambda m: f"<p>{keep(_fence(m))}</p>", html)
    html = _MATH.sub(lambda m: _math(m, keep), html)
    aligned = [_alignment(table) for table in _TABLE.findall(html)]
    if not html.strip():
        return ""
    soft = not _BARE_NEWLINE.search(_AFTER_BREAK.sub("", html))
    text = convert(html, _OPTIONS).content or ""
    text = _align_tables(text, aligned)
    text = _tidy(text, soft=soft)
    text = "\n".join(_restore(line, kept) for line in text.split("\n"))
    return text.strip("\n") + "\n" if text.strip() else ""


def _fence(found: re.Match[str]) -> str:
    body = re.sub(r"<br\s*/?>", "\n", found["body"])
    language = _LANGUAGE.search(found["attributes"]) or _LANGUAGE.search(body.partition(">")[0])
    code = entities.unescape(re.sub(r"<[^>]*>", "", body))
    code = code.removesuffix("\n")
    longest = max((len(run) for run in re.findall(r"^[ \t]*(`{3,})", code, re.MULTILINE)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language[1] if language else ''}\n{code}\n{fence}" if code else f"{fence}\n{fence}"


def _math(found: re.Match[str], keep: object) -> str:
    assert callable(keep)
    tex = entities.unescape(found["tex"])
    if found["kind"] == "inline":
        return str(keep(f"${tex}$"))
    return f"<p>{keep(f'$${chr(10)}{tex}{chr(10)}$$')}</p>"


def _alignment(table: str) -> list[str]:
    row = _FIRST_ROW.search(table)
    cells = _CELL.findall(row[0]) if row else []
    return [found[1].lower() if (found := _ALIGN.search(cell)) else "" for cell in cells]


def _align_tables(text: str, aligned: list[list[str]]) -> str:
    """Write alignments into the n-th table's rule; left, the default, is only written beside another one."""
    tables = iter(aligned)

    def rule(found: re.Match[str]) -> str:
        sides = next(tables, [])
        cells = found[0].strip().lstrip("> ").strip("|").split("|")
        if not any(side in ("right", "center") for side in sides) or len(sides) != len(cells):
            return found[0]
        return found["lead"] + "|" + "|".join(map(_rule_cell, cells, sides)) + "|"

    return _RULE_ROW.sub(rule, text)


def _rule_cell(cell: str, side: str) -> str:
    width = max(3, len(cell.strip()))
    left = ":" if side in ("left", "center") else "-"
    right = ":" if side in ("right", "center") else "-"
    return f" {left}{'-' * max(1, width - 2)}{right} "


def _tidy(text: str, *, soft: bool) -> str:
    """``soft``: line breaks are the page's way to draw plain line ends.

    Blank lines around blocks, none doubled; heading anchors gone; trailing blanks gone but for hard breaks."""
    text = _ANCHOR_END.sub(r"\1", text)
    lines: list[str] = []
    for line in text.split("\n"):
        bare = line.rstrip()
        hard = line.endswith("  ") and bool(bare) and not soft
        lines.append(bare + "  " if hard else bare)
    out: list[str] = []
    for at, line in enumerate(lines):
        starts = _PLACE.fullmatch(line) or line.startswith(("> ", "#")) or line == "---"
        if starts and out and out[-1] and not (line.startswith("> ") and out[-1].startswith(">")):
            out.append("")
        if not line and out and not out[-1]:
            continue
        out.append(line)
        after = lines[at + 1] if at + 1 < len(lines) else ""
        if _PLACE.fullmatch(line) and after:
            out.append("")
    return "\n".join(out)


def _restore(line: str, kept: list[str]) -> str:
    """Put back what was kept; the lines of a block get the indent or quote marks of their place."""

    def put(found: re.Match[str]) -> str:
        text = kept[int(found[1])]
        if "\n" not in text:
            return _PLACE.sub(put, text)
        lead = re.sub(r"[^>\s]", " ", line[: found.start()])
        first, *rest = text.split("\n")
        return "\n".join([first, *(lead + part if part else lead.rstrip() for part in rest)])

    return _PLACE.sub(put, line)
