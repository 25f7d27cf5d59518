"""What of a page's report counts: parts that are tried as the reply, controls that tell something."""

from __future__ import annotations

import pytest

from drivers.skills.report import PARTS_TRIED, likely_parts, tells_apart

THOUGHTS = "They ask for something that I know well, so I can answer it at once."
REPLY = "This is the reply of the page, as it came on the wire."
ALL = f"Thought for a second\n{THOUGHTS}\n{REPLY}\nTell me more"


def test_parts_of_some_size_are_tried_largest_first_and_names_are_not() -> None:
    parts = ("Bot", THOUGHTS, REPLY, "Tell me more", ALL)
    assert likely_parts(parts, ALL, "", by_rule=False) == [(1, THOUGHTS), (2, REPLY)]


def test_where_a_rule_gave_a_text_parts_of_its_size_are() -> None:
    parts = (THOUGHTS, "4.", "Tell me more")
    assert likely_parts(parts, ALL, "**4.**", by_rule=True) == [(2, "Tell me more"), (1, "4.")]
    assert likely_parts(parts, ALL, REPLY * 20, by_rule=True) == []


def test_only_a_few_are_tried() -> None:
    parts = tuple(f"one part of the page, number {number}" for number in range(40))
    assert len(likely_parts(parts, " ".join(parts[:4]), "", by_rule=False)) == PARTS_TRIED


@pytest.mark.parametrize(
    ("signature", "tells"),
    [
        ("button|Stop||on", True),
        ("div|Stop||on", True),
        ("div||svg:1a2b|on", True),
        ("div|this | that||off", True),
        ("button|||on", True),
        ("div|||on", False),
        ("span|||off", False),
    ],
)
def test_a_bare_box_tells_nothing(signature: str, tells: bool) -> None:
    assert tells_apart(signature) is tells


def test_where_no_rule_is_known_a_label_is_no_part() -> None:
    assert likely_parts(("Assistant\n●", REPLY), ALL, "", by_rule=False) == [(1, REPLY)]
