"""Which candidates are compared with the page, and which rule is kept of those that give the same text. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from drivers.capture.candidates import Candidate
from drivers.capture.proof import Verdict, compare
from drivers.capture.rule import APPEND, StreamRule
from drivers.capture.words import THINK, page_words

MAX_PROVED = 150
"""Different candidate texts compared with the page, the most alike in length first."""


def compare_thinking(text: str, page_text: str) -> tuple[str, Verdict]:
    """Compare; where the text begins with thoughts in a tag that the page does not show, without these."""
    verdict = compare(text, page_text)
    thoughts = THINK.match(text)
    if thoughts is not None and not verdict.exact:
        rest = text[thoughts.end() :]
        alone = compare(rest, page_text)
        if alone.score > verdict.score:
            return rest, alone
    return text, verdict


def by_text(candidates: list[Candidate], page_text: str) -> Iterator[tuple[str, list[Candidate]]]:
    """Candidates with the same text together, those that cannot fit left out, likeliest first."""
    groups: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        if candidate.text.strip():
            groups.setdefault(candidate.text, []).append(candidate)
    words = sorted({w.text for w in page_words(page_text)}, key=lambda word: (-len(word), word))
    sample = words[: max(8, len(words) // 20)][:24]
    size = len(page_text)
    likely = []
    for text, group in groups.items():
        folded = text.casefold()
        if len(text) < 0.3 * size and len(text) < size - 400:
            continue
        hits = sum(1 for word in sample if word in folded)
        if not sample or hits * 3 >= len(sample):
            likely.append((-hits, abs(len(text) - size), text, group))
    likely.sort(key=lambda item: item[:2])
    for _, _, text, group in likely[:MAX_PROVED]:
        yield text, group


def best_rule(group: list[Candidate]) -> Candidate:
    """Which rule to keep among those that give the same text: one of those that grow in most steps, that asks
    for what a protocol fixes and does not count on positions."""
    most = max(candidate.growth for candidate in group)
    return min((c for c in group if 2 * c.growth >= most), key=_preference)


def _preference(candidate: Candidate) -> tuple[int, ...]:
    rule = candidate.rule
    return (
        1 if rule.decode else 0,
        1 if rule.group else 0,
        1 if rule.seed else 0,
        0
        if "~" in rule.path
        else 1,  # an operation's place in its message is chance, in the document it is not
        _path_rank(rule),
        _where_rank(rule.where),
        -rule.path.count(".m"),  # of protobuf bytes that are a text and a message, the message
        len(rule.path),
    )


def _where_rank(where: tuple[str, ...]) -> int:
    if not where:
        return 1
    if len(where) == 1:
        path = where[0].partition("=")[0]
        if path == "event" or path.endswith((".type", ".event", ".msg", ".kind", ".op", ".role")):
            return 0
        return 2
    return 3


def _path_rank(rule: StreamRule) -> int:
    wild, last = "[*]" in rule.path, "[-1]" in rule.path
    if not wild and not last:
        return 0 if "[" not in rule.path.rpartition("~")[2] else 2
    return int(last) if rule.mode == APPEND else int(wild)
