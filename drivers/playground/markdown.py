"""Markdown to HTML, on the server, for the transport `dom`. `static/markdown.js` is the same in the page."""

import re
from collections.abc import Callable
from html import escape

_FENCE = re.compile(r"^( {0,3})(`{3,}|~{3,})\s*([\w+#.-]*).*$")
_HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_RULE = re.compile(r"^ {0,3}([-*_])(?:\s*\1){2,}\s*$")
_ITEM = re.compile(r"^(\s*)([-*+]|\d{1,9}[.)])(\s+)(?=\S)")
_TASK = re.compile(r"^\[([ xX])\]\s+")
_TABLE_RULE = re.compile(r"^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")
_INLINE = re.compile(
    r"(?P<tick>`+)(?P<code>[\s\S]+?)(?P=tick)(?!`)"
    r"|\\(?P<literal>[!-/:-@\[-`{-~])"
    r"|(?P<bang>!?)\[(?P<label>(?:[^\[\]\\]|\\.)*)\]\((?P<target>[^\s()]*)\)"
    r"|\$(?! )(?P<math>[^$\n]+?)\$(?!\d)"
    r"|\*\*(?=\S)(?P<bold>[\s\S]+?)\*\*(?!\*)"
    r"|~~(?=\S)(?P<strike>[\s\S]+?)~~"
    r"|\*(?=\S)(?P<italic>[^*]+?)\*"
    r"|(?<!\w)_(?=\S)(?P<under>[^_]+?)_(?!\w)"
    r"|(?P<hard> {2,}|\\)\n"
)
_SAFE_TARGET = re.compile(r"^(https?:|mailto:|/|#)", re.IGNORECASE)


def to_html(source: str) -> str:
    """Render `source`. Text that is not Markdown is escaped; no HTML passes through."""
    return _blocks(source.replace("\r\n", "\n").split("\n"), tight=False)


def inline(text: str) -> str:
    out, at = [], 0
    for match in _INLINE.finditer(text):
        out.append(escape(text[at : match.start()], quote=False))
        out.append(_span(match))
        at = match.end()
    out.append(escape(text[at:], quote=False))
    return "".join(out)


def _span(match: re.Match[str]) -> str:
    part = match.groupdict()
    if part["code"] is not None:
        return f"<code>{escape(part['code'].strip(), quote=False)}</code>"
    if part["literal"] is not None:
        return escape(part["literal"], quote=False)
    if part["label"] is not None:
        target = escape(part["target"] if _SAFE_TARGET.match(part["target"]) else "#")
        if part["bang"]:
            return f'<img src="{target}" alt="{escape(part["label"])}">'
        return f'<a href="{target}" target="_blank" rel="noopener">{inline(part["label"])}</a>'
    if part["math"] is not None:
        return f'<span class="math">${escape(part["math"], quote=False)}$</span>'
    for name, tag in (("bold", "strong"), ("strike", "del"), ("italic", "em"), ("under", "em")):
        if part[name] is not None:
            return f"<{tag}>{inline(part[name])}</{tag}>"
    return "<br>"


def _blocks(lines: list[str], *, tight: bool) -> str:
    out: list[str] = []
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        for block in _BLOCKS:
            made = block(lines, at)
            if made is not None:
                break
        else:
            made = _paragraph(lines, at, tight=tight)
        html, at = made
        out.append(html)
    return "\n".join(out)


def _fence(lines: list[str], at: int) -> tuple[str, int] | None:
    if not (match := _FENCE.match(lines[at])):
        return None
    indent, mark, language = len(match[1]), match[2], match[3]
    body, at = [], at + 1
    closing = re.compile(rf"^ {{0,3}}{re.escape(mark[0])}{{{len(mark)},}}\s*$")
    while at < len(lines) and not closing.match(lines[at]):
        line = lines[at]
        body.append(line[min(indent, len(line) - len(line.lstrip())) :])
        at += 1
    text = "\n".join(body) + ("\n" if body else "")
    css = f' class="language-{language}"' if language else ""
    bar = (
        f'<div class="code-bar"><span class="code-language">{language or "text"}</span>'
        '<button type="button" class="copy-code">Copy code</button></div>'
    )
    return f'<div class="code">{bar}<pre><code{css}>{escape(text, quote=False)}</code></pre></div>', at + 1


def _math(lines: list[str], at: int) -> tuple[str, int] | None:
    if lines[at].strip() != "$$":
        return None
    end = at + 1
    while end < len(lines) and lines[end].strip() != "$$":
        end += 1
    return f'<div class="math">{escape(chr(10).join(lines[at : end + 1]), quote=False)}</div>', end + 1


def _heading(lines: list[str], at: int) -> tuple[str, int] | None:
    if not (match := _HEADING.match(lines[at])):
        return None
    level = len(match[1])
    return f"<h{level}>{inline(match[2])}</h{level}>", at + 1


def _rule(lines: list[str], at: int) -> tuple[str, int] | None:
    return ("<hr>", at + 1) if _RULE.match(lines[at]) else None


def _quote(lines: list[str], at: int) -> tuple[str, int] | None:
    body = []
    while at < len(lines) and lines[at].lstrip().startswith(">"):
        body.append(re.sub(r"^\s*> ?", "", lines[at]))
        at += 1
    return (f"<blockquote>{_blocks(body, tight=False)}</blockquote>", at) if body else None


def _table(lines: list[str], at: int) -> tuple[str, int] | None:
    if "|" not in lines[at] or at + 1 >= len(lines) or not _TABLE_RULE.match(lines[at + 1]):
        return None
    aligns = [_align(cell) for cell in _cells(lines[at + 1])]
    head = _row(lines[at], aligns, "th")
    body, at = [], at + 2
    while at < len(lines) and "|" in lines[at] and lines[at].strip():
        body.append(_row(lines[at], aligns, "td"))
        at += 1
    return f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>", at


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def _align(cell: str) -> str:
    left, right = cell.startswith(":"), cell.endswith(":")
    return "center" if left and right else "right" if right else "left" if left else ""


def _row(line: str, aligns: list[str], tag: str) -> str:
    cells = _cells(line)
    out = []
    for number, align in enumerate(aligns):
        style = f' style="text-align: {align}"' if align else ""
        out.append(f"<{tag}{style}>{inline(cells[number]) if number < len(cells) else ''}</{tag}>")
    return f"<tr>{''.join(out)}</tr>"


def _list(lines: list[str], at: int) -> tuple[str, int] | None:
    first = _ITEM.match(lines[at])
    if not first:
        return None
    ordered, items = first[2][0].isdigit(), []
    while at < len(lines):
        match = _ITEM.match(lines[at])
        if not match or match[2][0].isdigit() != ordered or len(match[1]) > len(first[1]) + 1:
            break
        body, indent, at = [lines[at][match.end() :]], match.end(), at + 1
        while at < len(lines):
            line = lines[at]
            blank = not line.strip()
            if blank and not (at + 1 < len(lines) and lines[at + 1].startswith(" " * indent)):
                break
            if not blank and len(line) - len(line.lstrip()) < indent:
                break
            body.append(line[indent:])
            at += 1
        items.append(_item(body))
        after = at
        while after < len(lines) and not lines[after].strip():
            after += 1
        if after > at and after < len(lines) and _ITEM.match(lines[after]):
            at = after
    tag = "ol" if ordered else "ul"
    start = int(re.sub(r"\D", "", first[2])) if ordered else 1
    attribute = f' start="{start}"' if start != 1 else ""
    return f"<{tag}{attribute}>{''.join(items)}</{tag}>", at


def _item(body: list[str]) -> str:
    task = _TASK.match(body[0])
    if not task:
        return f"<li>{_blocks(body, tight=True)}</li>"
    body = [body[0][task.end() :], *body[1:]]
    checked = " checked" if task[1] != " " else ""
    box = f'<input type="checkbox" disabled{checked}> '
    return f'<li class="task">{box}{_blocks(body, tight=True)}</li>'


def _paragraph(lines: list[str], at: int, *, tight: bool) -> tuple[str, int]:
    body = [lines[at]]
    at += 1
    while at < len(lines) and lines[at].strip() and not any(block(lines, at) for block in _BLOCKS):
        body.append(lines[at])
        at += 1
    text = inline("\n".join(line.lstrip() for line in body).rstrip())
    return (text if tight else f"<p>{text}</p>"), at


_BLOCKS: tuple[Callable[[list[str], int], tuple[str, int] | None], ...] = (
    _fence,
    _math,
    _heading,
    _rule,
    _table,
    _quote,
    _list,
)
