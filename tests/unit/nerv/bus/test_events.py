"""Numbers on events: a loss is always seen, and nothing else looks like one."""

from __future__ import annotations

import pytest

from nerv.bus.envelope import Envelope, EnvelopeId, Kind, PeerName
from nerv.bus.events import GapDetector, Numbering, covers_class, numbers_of


def event(number: int, life: str = "life1") -> Envelope:
    return Envelope(
        id=EnvelopeId(f"e{life}-{number:x}"),
        kind=Kind.EVENT,
        type="t",
        source=PeerName("source"),
        target=PeerName(""),
    )


def test_class_and_topic_are_counted_apart() -> None:
    numbering = Numbering()
    assert numbers_of(numbering.next("task.a")) == (1, 1)
    assert numbers_of(numbering.next("task.b")) == (2, 2)
    assert numbers_of(numbering.next("task.a")) == (3, 2)
    assert numbers_of(numbering.next("tick.x")) == (1, 1)


def test_a_forgotten_topic_goes_on_above_its_old_numbers() -> None:
    numbering = Numbering(max_topics=2)
    before = numbers_of(numbering.next("task.a"))[1]
    for name in ("b", "c", "d"):
        numbering.next(f"task.{name}")
    assert numbers_of(numbering.next("task.a"))[1] > before


def test_a_gap_is_counted_once_and_a_new_life_is_none() -> None:
    gaps = GapDetector()
    assert gaps.missed(event(1), "task", 5) == 0
    assert gaps.missed(event(2), "task", 6) == 0
    assert gaps.missed(event(3), "task", 9) == 2
    assert gaps.missed(event(4), "task", 10) == 0
    assert gaps.missed(event(1, "life2"), "task", 1) == 0


def test_an_event_that_comes_twice_is_no_gap() -> None:
    gaps = GapDetector()
    gaps.missed(event(1), "task", 5)
    assert gaps.missed(event(1), "task", 5) == 0
    assert gaps.missed(event(2), "task", 6) == 0


@pytest.mark.parametrize(
    ("pattern", "whole"),
    [("", True), ("task.", True), ("task", False), ("task.01J", False), ("task.a.", False)],
)
def test_only_a_whole_class_is_followed_by_the_number_of_the_class(pattern: str, whole: bool) -> None:
    assert covers_class(pattern) is whole


def test_numbers_of_a_wrong_length_are_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        numbers_of(b"123")
