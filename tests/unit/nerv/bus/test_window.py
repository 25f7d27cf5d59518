"""The dedup window repeats answers and stays within its bounds."""

from __future__ import annotations

import msgspec

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


def test_the_oldest_answers_go_first_by_number_and_by_bytes() -> None:
    window = DedupWindow(max_answers=3, max_bytes=25)
    for number in range(5):
        window.begin(envelope(number))
        window.finish(envelope(number, kind=Kind.REPLY, size=10))
    assert len(window) == 2
    assert window.answer_to(EnvelopeId("COMMAND2")) is None
    assert window.answer_to(EnvelopeId("COMMAND3")) is not None
    assert window.forgotten == 3


def test_work_in_hand_is_never_forgotten() -> None:
    window = DedupWindow(max_answers=1, max_bytes=1)
    for number in range(100):
        window.begin(envelope(number))
    assert len(window.running) == 100
