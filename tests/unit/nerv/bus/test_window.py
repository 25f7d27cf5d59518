"""The dedup window repeats answers and stays within its bounds."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from nerv.bus.envelope import Envelope, EnvelopeId, Kind, PeerName
from nerv.bus.window import DedupWindow


def envelope(number: int, *, kind: Kind = Kind.COMMAND, size: int = 1) -> Envelope:
    return Envelope(
        id=EnvelopeId(f"{kind.name}{number}"),
        kind=kind,
        type="t",
        source=PeerName("a"),
        target=PeerName("b"),
        causation=f"COMMAND{number}" if kind is Kind.REPLY else "",
        payload=msgspec.Raw(b"\xc0" * size),
    )


def test_an_answer_is_remembered_for_its_command() -> None:
    window = DedupWindow(max_answers=10, max_bytes=1000)
    window.begin(envelope(1))
    assert window.answer_to(EnvelopeId("COMMAND1")) is None
    assert window.finish(envelope(1, kind=Kind.REPLY))
    answer = window.answer_to(EnvelopeId("COMMAND1"))
    assert answer is not None
    assert answer.id == "REPLY1"
    assert not window.running


def test_a_second_answer_to_the_same_command_does_not_count() -> None:
    window = DedupWindow(max_answers=10, max_bytes=1000)
    window.begin(envelope(1))
    assert window.finish(envelope(1, kind=Kind.REPLY))
    assert not window.finish(envelope(1, kind=Kind.REPLY))


@given(
    sizes=st.lists(st.integers(0, 40), max_size=60),
    max_answers=st.integers(1, 8),
    max_bytes=st.integers(1, 100),
)
def test_the_last_answers_are_remembered_within_twice_the_bounds(
    sizes: list[int], max_answers: int, max_bytes: int
) -> None:
    window = DedupWindow(max_answers=max_answers, max_bytes=max_bytes)
    for number, size in enumerate(sizes):
        window.begin(envelope(number))
        window.finish(envelope(number, kind=Kind.REPLY, size=size))

    remembered = [
        number for number in range(len(sizes)) if window.answer_to(EnvelopeId(f"COMMAND{number}")) is not None
    ]
    assert remembered == list(range(len(sizes) - len(window), len(sizes))), "the oldest go first"
    assert len(window) + window.forgotten == len(sizes)
    assert len(window) <= 2 * max_answers
    largest = max(sizes, default=0)
    assert sum(sizes[number] for number in remembered) < 2 * (max_bytes + largest + 1)
    if window.forgotten:
        kept = sizes[len(sizes) - len(window) :]
        assert len(kept) >= max_answers or sum(kept) >= max_bytes


def test_work_in_hand_is_never_forgotten() -> None:
    window = DedupWindow(max_answers=1, max_bytes=1)
    for number in range(100):
        window.begin(envelope(number))
    assert len(window.running) == 100
