"""From an element to selectors that will still name it tomorrow."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from drivers.recipes.recipe import Locator

_TEST_IDS = ("data-testid", "data-test-id", "data-test", "data-cy", "data-qa")
_NAMED = ("aria-label", "placeholder", "data-placeholder", "title")
_KINDS = (
    "data-message-author-role",
    "data-role",
    "data-author",
    "data-sender",
    "data-from",
    "data-type",
    "data-message-role",
    "data-message-author",
    "data-turn",
    "data-is-user",
    "data-user",
    "role",
    "slot",
    "part",
)
_UTILITY = re.compile(
    r"[\[\]:/!@%]|^(m|p|w|h|z|mt|mb|ml|mr|mx|my|pt|pb|pl|pr|px|py|gap|text|bg|flex|grid|border|rounded|min|max|top|left|right|bottom|justify|items|self|order|col|row|opacity|shadow|font|leading|transition|duration|ease|cursor|overflow|absolute|relative|fixed|sticky|block|inline|hidden|visible|group|peer|animate|scale|rotate|translate|space|divide|ring|outline|dark|sm|md|lg|xl|hover|focus|active|disabled)(-|$)"
)
_STATE = re.compile(
    r"(^|[-_])(active|focus(ed|-visible)?|hover|open|closed|selected|disabled|enabled|loading|typing|streaming|busy|last|first|new|latest|animat\w*|generating|pending|done|complete[d]?|empty|dirty|valid|invalid|touched|pristine|visible|hidden|entering|entered)($|[-_])|^ng-",
    re.IGNORECASE,
)


class Level(msgspec.Struct, frozen=True, kw_only=True):
    tag: str
    attributes: dict[str, str] = {}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """An element within its own root, with its nearest ancestors there, nearest first."""

    tag: str
    attributes: dict[str, str] = {}
    above: tuple[Level, ...] = ()
    nth: int = 1
    of: int = 1


def generated(value: str) -> bool:
    """Does this id, name or class look made by a machine: another one at the next load or build?"""
    if not value or len(value) > 60:
        return True
    if re.fullmatch(r"[A-Za-z]{1,3}[-_]?\d+", value):
        return True
    if re.search(r"\d{3,}", value) or re.fullmatch(r"[:«_]?r?[\w]*[:»]", value):
        return True
    if re.match(
        r"(radix|headlessui|mui|mat-|cdk-|ember|react-aria|svelte|css|sc|jss|emotion|st-emotion|__|input-?\d|_r_|component-\d)",
        value,
        re.IGNORECASE,
    ):
        return True
    for part in re.split(r"[-_]+", value):
        if (
            len(part) >= 5
            and re.search(r"\d", part)
            and re.search(r"[a-z]", part, re.IGNORECASE)
            and len(re.findall(r"\d", part)) > 1
        ):
            return True
        if (
            len(part) >= 5
            and re.search(r"[a-z][A-Z].*[a-z][A-Z]|[A-Z]{2,}[a-z]+[A-Z]", part)
            and re.search(r"\d", part)
        ):
            return True
        if len(part) >= 7 and not re.search(r"[aeiouyAEIOUY]", part):
            return True
    return False


def quoted(value: str) -> str:
    """A CSS string."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\a ") + '"'


def stable_classes(attributes: dict[str, str]) -> list[str]:
    return [
        name
        for name in attributes.get("class", "").split()
        if re.fullmatch(r"-?[A-Za-z_][\w-]*", name)
        and not generated(name)
        and not _UTILITY.search(name)
        and not _STATE.search(name)
    ]


def selectors(tag: str, attributes: dict[str, str]) -> list[tuple[float, str]]:
    """Selectors for one element by itself, best first."""
    found: list[tuple[float, str]] = []
    for key in _TEST_IDS:
        value = attributes.get(key, "")
        if value and not generated(value):
            found.append((0.95, f"[{key}={quoted(value)}]"))
    if attributes.get("id") and not generated(attributes["id"]):
        found.append((0.9, f"{tag}[id={quoted(attributes['id'])}]"))
    if attributes.get("name") and not generated(attributes["name"]):
        found.append((0.85, f"{tag}[name={quoted(attributes['name'])}]"))
    for key in _NAMED:
        value = attributes.get(key, "")
        if value:
            found.append((0.75, f"{tag}[{key}={quoted(value)}]"))
    if attributes.get("role"):
        found.append((0.55, f"{tag}[role={quoted(attributes['role'])}]"))
    classes = stable_classes(attributes)
    if classes:
        found.append((0.6, tag + "".join(f".{name}" for name in classes[:3])))
    if attributes.get("contenteditable") in ("true", "", "plaintext-only"):
        found.append((0.5, f"{tag}[contenteditable]"))
    if attributes.get("type") and tag in ("input", "button"):
        found.append((0.45, f"{tag}[type={quoted(attributes['type'])}]"))
    found.append((0.4 if "-" in tag or tag == "textarea" else 0.25, tag))
    return found


def in_step(step: Step) -> list[tuple[float, str]]:
    """Selectors for an element within its root: by itself, then with an ancestor that has a name of its own."""
    own = selectors(step.tag, step.attributes)
    found = list(own)
    for level in step.above:
        anchors = [pair for pair in selectors(level.tag, level.attributes) if pair[0] >= 0.6][:1]
        for score, anchor in anchors:
            found += [(min(score, mine) * 0.9, f"{anchor} {css}") for mine, css in own]
            found.append((0.3, f"{anchor} {step.tag}:nth-of-type({step.nth})"))
    found.append((0.15, f"{step.tag}:nth-of-type({step.nth})"))
    if step.above:
        found.append((0.2, f"{step.above[0].tag} > {step.tag}:nth-of-type({step.nth})"))
    return sorted(found, key=lambda pair: -pair[0])


def locators_for(lineage: Sequence[Step], limit: int = 24) -> list[Locator]:
    """Candidate locators of one element, best first. Each still has to be checked to name exactly one."""
    if not lineage:
        return []
    hosts = [[css for _, css in in_step(step)] for step in lineage[:-1]]
    found = [
        Locator(path=(*(choices[0] for choices in hosts), css), score=round(score, 3))
        for score, css in in_step(lineage[-1])
    ]
    if hosts:  # the host by its place, should its best name not be its own
        found += [
            Locator(
                path=(*(choices[min(1, len(choices) - 1)] for choices in hosts), css),
                score=round(score * 0.8, 3),
            )
            for score, css in in_step(lineage[-1])[:4]
        ]
    unique = {locator.path: locator for locator in reversed(found)}
    return sorted(unique.values(), key=lambda it: -it.score)[:limit]


def reply_locators_for(lineage: Sequence[Step], limit: int = 16) -> list[Locator]:
    """Candidate locators for the *kind* of element a reply is: no ids, no places, no words of this one reply."""
    if not lineage:
        return []
    step = lineage[-1]
    own = _kinds(step.tag, step.attributes)
    found = list(own)
    for depth, level in enumerate(step.above[:5]):
        for score, css in _kinds(level.tag, level.attributes):
            inner = own[0][1] if own else step.tag
            found.append((score * (0.95 - 0.05 * depth), f"{css} {inner}"))
    hosts = [in_step(host)[0][1] for host in lineage[:-1]]
    locators = {(*hosts, css): score for score, css in sorted(found)}
    return sorted(
        (Locator(path=path, score=round(score, 3)) for path, score in locators.items()),
        key=lambda it: -it.score,
    )[:limit]


def _kinds(tag: str, attributes: dict[str, str]) -> list[tuple[float, str]]:
    found: list[tuple[float, str]] = []
    for key in _TEST_IDS:
        value = attributes.get(key, "")
        if value and not generated(value):
            found.append((0.9, f"[{key}={quoted(value)}]"))
    for key in _KINDS:
        value = attributes.get(key, "")
        if value and not generated(value):
            found.append((0.8, f"{tag}[{key}={quoted(value)}]"))
    classes = stable_classes(attributes)
    if classes:
        found.append((0.7, tag + "".join(f".{name}" for name in classes[:4])))
        if len(classes) > 1:
            found.append((0.6, f"{tag}.{classes[-1]}"))
    if "-" in tag:
        found.append((0.5, tag))
    return sorted(found, key=lambda pair: -pair[0])
