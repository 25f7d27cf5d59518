"""Columns line up, and figures read at a glance."""

from __future__ import annotations

import pytest

from nerv.cli.tables import seconds, shorten, table


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table(("A", "B"), [("long one", "x"), ("s", "y")]) == "A         B\nlong one  x\ns         y"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.04, "0.0s"), (59.94, "59.9s"), (61, "1m01s"), (3_700, "1h01m"), (90_000, "1d01h")],
)
def test_seconds(value: float | None, shown: str) -> None:
    assert seconds(value) == shown


def test_shorten_makes_one_line_of_bounded_width() -> None:
    assert shorten("a\n b", 10) == "a b"
    assert shorten("abcdefghij", 5) == "abcd…"
