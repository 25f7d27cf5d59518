"""Is this candidate the reply that the page shows? Compared word by word; fails closed.

A page may add button words, names and line numbers, may draw formulas and diagrams, may leave out most of a long
code block, and may hold a second copy for screen readers. It may not lack a word, nor go on where the text ends.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from rapidfuzz.distance import Indel

from drivers.capture.words import Word, Worth, is_html, markdown_words, page_words, visible

MAX_WORDS = 60_000
"""Longer texts are compared by their identical beginning and end only, beyond which nothing may differ."""
_SHORT = 4
_HEAD = 8
_NEVER = "\x00"
_SHARE, _RUN = 50, 12
"""Words in lines of the page's own: four and one for so many of the reply, and so many in a row."""
_KNOWN_SHARE, _KNOWN_RUN = 10, 24
_PARTIAL_SLACK = 8
"""Words at the end of a page that still grows, within which nothing is compared."""
_LABELS = frozenset(
    """
    copy copied code run edit save share download regenerate retry like dislike good bad response read
    aloud expand collapse wrap lines toggle preview view raw open close more show less hide thought
    thinking thoughts reasoning for seconds second minutes s sources source citations search searched
    assistant bot ai chatbot agent model said says you user system today yesterday just now ago am pm at
    minute hour hours jan feb mar apr may jun jul aug sep oct nov dec mon tue wed thu fri sat sun edited
    delete reply message messages feedback thumbs up down helpful was this yes no speak listen play stop
    generating send export print insert apply explain fix to clipboard as plaintext text txt markdown
    python javascript typescript js ts tsx jsx py java c cpp csharp go rust ruby php html css scss json
    yaml yml xml sql bash sh shell zsh powershell kotlin swift scala perl lua r dart diff dockerfile
    makefile toml ini graphql mermaid console terminal output input kopieren kopiert copier copié copiar
    copiado copia copiato 复制 复制代码 已复制 コピー 복사 копировать
    """.split()  # noqa: SIM905
)
_TIME = re.compile(
    r"^\W*(?:\d{1,2}[:.]\d{2}(?:[:.]\d{2})?\s*(?:[ap]\.?m\.?)?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4})\W*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a candidate fits. Counts are words; ``spacing``: places where the page parts what the text joins."""

    ok: bool
    why: str
    matched: int = 0
    missing: int = 0
    hidden_code: int = 0
    extra: int = 0
    spacing: int = 0

    @property
    def exact(self) -> bool:
        return self.ok and not (self.missing or self.hidden_code or self.extra or self.spacing)

    @property
    def score(self) -> float:
        if not self.ok:
            return 0.0
        faults = 4 * self.missing + 2 * self.spacing + self.extra + 0.2 * self.hidden_code
        return self.matched / (self.matched + faults) if self.matched else 0.5


def compare(candidate: str, page_text: str, *, partial: bool = False, known: bool = False) -> Verdict:
    """Compare a Markdown candidate with drawn text. ``partial``: the page may end before the candidate does.

    ``known``: it stood where earlier replies of this page were; more lines of the page's own are let pass between
    its lines (a table's footer, a date). Still no word of it may be missing, and the page may not go on behind it.
    """
    if not candidate.strip() or not page_text.strip():
        return Verdict(ok=False, why="empty")
    if is_html(candidate, page_text):
        return Verdict(ok=False, why="html, not Markdown")
    words, shown = markdown_words(candidate), page_words(page_text)
    if len([w for w in words if w.worth is not Worth.OPTIONAL]) < _SHORT and not partial:
        return _compare_short(candidate, page_text, len(words))
    if not shown:
        return Verdict(ok=False, why="the page shows no words")
    verdict = _one(candidate, words, page_text, partial=partial, known=known)
    if not verdict.ok and (partial or len(shown) > 1.5 * len(words)):
        for cut in _halves(page_text, shown):
            first, second = page_text[:cut], page_text[cut:]
            verdicts = [
                _one(candidate, words, half, partial=partial, known=known) for half in (first, second)
            ]
            if all(one.ok for one in verdicts):
                return verdicts[0]
    return verdict


def _one(candidate: str, words: list[Word], page_text: str, *, partial: bool, known: bool) -> Verdict:
    shown = page_words(page_text)
    words = _as_far(words, len(shown)) if partial else words
    return _align(candidate, words, page_text, shown, partial=partial, known=known)


def _as_far(words: list[Word], shown: int) -> list[Word]:
    """The beginning of a candidate that a page with so many words may have come to."""
    seen = 0
    for at, word in enumerate(words):
        seen += word.worth is not Worth.OPTIONAL
        if seen == shown:
            return words[: at + 1]
    return words


def _compare_short(candidate: str, page_text: str, words: int) -> Verdict:
    seen = visible(candidate)
    lines = [line for line in page_text.splitlines() if line.strip()]
    if seen and seen == visible(page_text):
        return Verdict(ok=True, why="the same characters", matched=max(1, words))
    others = [line for line in lines if visible(line) != seen]
    if len(others) < len(lines) and all(_is_label(line) for line in others):
        return Verdict(
            ok=True, why="the same characters in one line", matched=max(1, words), extra=len(others)
        )
    return Verdict(ok=False, why="a short text that the page does not show alone")


def _halves(page_text: str, shown: list[Word]) -> list[int]:
    """Line breaks near the middle word: where a second copy may begin."""
    low, high = shown[int(len(shown) * 0.4)].start, shown[min(len(shown) - 1, int(len(shown) * 0.6))].end
    cuts = [m.end() for m in re.finditer(r"\n", page_text[low:high])]
    middle = (high - low) // 2
    return [low + cut for cut in sorted(cuts, key=lambda cut: abs(cut - middle))[:6]]


@dataclass(slots=True)
class _Tally:
    matched: int = 0
    missing: int = 0
    hidden_code: int = 0
    extra: int = 0
    labels: int = 0
    spacing: int = 0
    tail: int = 0
    head: int = 0
    inline: int = 0
    longest_run: int = 0


def _align(
    candidate: str, words: list[Word], page_text: str, shown: list[Word], *, partial: bool, known: bool
) -> Verdict:
    if max(len(words), len(shown)) > MAX_WORDS:
        return Verdict(ok=False, why=f"more than {MAX_WORDS} words")
    # What is drawn as something else must not be matched by chance: it would tear its place apart.
    steps = Indel.opcodes(
        [_NEVER if w.worth is Worth.WILD else w.text for w in words], [w.text for w in shown]
    )
    tally = _Tally()
    region: list[int] | None = None
    required = sum(1 for w in words if w.worth is Worth.REQUIRED)
    for step in steps:
        if step.tag == "equal":
            if region is not None:
                _region(tally, candidate, words, page_text, shown, region, partial=partial)
                region = None
            tally.matched += step.src_end - step.src_start
            _spacing(tally, candidate, words, page_text, shown, step.src_start, step.src_end, step.dest_start)
        elif region is None:
            region = [step.src_start, step.src_end, step.dest_start, step.dest_end]
        else:
            region[1], region[3] = step.src_end, step.dest_end
    if region is not None:
        _region(tally, candidate, words, page_text, shown, region, partial=partial)
    return _judge(tally, required, partial=partial, known=known)


def _judge(tally: _Tally, required: int, *, partial: bool, known: bool) -> Verdict:
    counts = {
        "matched": tally.matched,
        "missing": tally.missing,
        "hidden_code": tally.hidden_code,
        "extra": tally.extra + tally.inline + tally.head + tally.labels,
        "spacing": tally.spacing,
    }
    own = 4 + tally.matched // (_KNOWN_SHARE if known else _SHARE)
    run = _KNOWN_RUN if known else _RUN
    why = ""
    if tally.matched < (2 if partial else 1):
        why = "no word in common"
    elif tally.missing > required // 200:
        why = f"{tally.missing} words are not on the page"
    elif tally.tail > (_PARTIAL_SLACK if partial else 0):
        why = f"the page goes on for {tally.tail} words"
    elif tally.head > _HEAD:
        why = f"the page begins {tally.head} words earlier"
    elif tally.inline > tally.matched // 200:
        why = f"the page shows {tally.inline} words more within its lines"
    elif tally.extra > own or tally.longest_run > run:
        why = f"the page shows {tally.extra} other words"
    elif tally.spacing > 1 + tally.matched // 200:
        why = f"blanks are lost at {tally.spacing} places"
    elif tally.hidden_code and tally.matched < 5:
        why = "too few words to know the code by"
    return Verdict(ok=not why, why=why or "the same words", **counts)


def _region(
    tally: _Tally,
    candidate: str,
    words: list[Word],
    page_text: str,
    shown: list[Word],
    bounds: list[int],
    *,
    partial: bool,
) -> None:
    """Judge a place where the two differ: words[a:b] against shown[c:d]."""
    a, b, c, d = bounds
    ours, theirs = words[a:b], shown[c:d]
    must = [w for w in ours if w.worth is not Worth.OPTIONAL]
    at_end = b == len(words)
    if partial and at_end and max(len(must), len(theirs)) <= _PARTIAL_SLACK:
        return  # labels shift the place where the page has come to
    joined = "".join(w.text for w in theirs)
    if theirs and joined in ("".join(w.text for w in must), "".join(w.text for w in ours)):
        tally.matched += len(must)
        tally.spacing += _glued(candidate, ours, page_text, theirs)
        return
    wild = [w for w in must if w.worth is Worth.WILD]
    tally.missing += sum(1 for w in must if w.worth is Worth.REQUIRED)
    tally.hidden_code += sum(1 for w in must if w.worth is Worth.CODE)
    if not theirs:
        return
    if wild:
        theirs = _beside_drawn(wild, theirs)
        if not theirs:
            return
    near_code = any(w.worth is Worth.CODE for w in words[max(0, a - 1) : b + 1])
    lines = _own_lines(page_text, shown, c, d) if not wild else []
    unknown = [w for w in theirs if not _is_label_word(w.text) and not (near_code and w.text.isdigit())]
    if lines and all(_is_label(line) for line in lines):
        unknown = []
    tally.labels += len(theirs) - len(unknown)
    if not unknown:
        return
    if at_end:
        tally.tail += len(unknown)
    elif a == 0 and c == 0:
        tally.head += len(unknown)
        if len(unknown) > 3 or not lines:
            tally.head += _HEAD  # no name above the reply, but its first words
    elif not lines:
        tally.inline += len(unknown)
    else:
        tally.extra += len(unknown)
        tally.longest_run = max(tally.longest_run, len(unknown))


def _beside_drawn(wild: list[Word], theirs: list[Word]) -> list[Word]:
    """The words that drawing these formulas or addresses does not explain."""
    source = "".join(w.text for w in wild)
    prose = [w for w in theirs if len(w.text) >= 4 and w.text.isalpha() and w.text not in source]
    if "http" in wild[0].text:
        prose = [w for w in theirs if w.text not in source]
    return theirs if len(theirs) > 8 + 4 * len(wild) else prose


def _own_lines(page_text: str, shown: list[Word], c: int, d: int) -> list[str]:
    """The lines that shown[c:d] fills alone; [] when it shares a line with other words."""
    start = shown[c - 1].end if c > 0 else 0
    end = shown[d].start if d < len(shown) else len(page_text)
    before, after = page_text[start : shown[c].start], page_text[shown[d - 1].end : end]
    if (c > 0 and "\n" not in before) or (d < len(shown) and "\n" not in after):
        return []
    return [line for line in page_text[start:end].splitlines() if line.strip()]


def _is_label_word(word: str) -> bool:
    return word in _LABELS


def _is_label(line: str) -> bool:
    return bool(_TIME.match(line)) or all(
        _is_label_word(w.text) or w.text.isdigit() for w in page_words(line)
    )


def _spacing(
    tally: _Tally,
    candidate: str,
    words: list[Word],
    page_text: str,
    shown: list[Word],
    start: int,
    end: int,
    other: int,
) -> None:
    """Count line breaks of the page where the text has neither a blank nor a cell border."""
    shift = other - start
    for at in range(start, end - 1):
        if "\n" in page_text[shown[at + shift].end : shown[at + shift + 1].start]:
            gap = candidate[words[at].end : words[at + 1].start]
            if not (any(c.isspace() for c in gap) or "|" in gap or "<" in gap or "\\n" in gap):
                tally.spacing += 1


def _glued(candidate: str, ours: list[Word], page_text: str, theirs: list[Word]) -> int:
    """How often the page has a blank inside what is one word of the text."""
    breaks, at = set(), 0
    for word in ours:
        breaks.add(at)
        at += len(word.text)
    lost = at = 0
    for word, following in itertools.pairwise(theirs):
        at += len(word.text)
        if at not in breaks and any(c.isspace() for c in page_text[word.end : following.start]):
            lost += 1
    return lost
