"""The broker looks for a next message only where one is to be expected."""

from __future__ import annotations

import msgspec
import pytest

from nerv.bus.server import BusSettings
from nerv.bus.spin import CLOSE, LONE, SPIN, Spin


def after_two(spin: Spin, pause: float, *, messages: int = 1, size: int = 400) -> float:
    spin.after(10.0, 1, 400)
    return spin.after(10.0 + pause, messages, size)


def test_lone_messages_close_upon_each_other_are_looked_for() -> None:
    assert after_two(Spin(), CLOSE / 2) == SPIN


def test_sparse_traffic_full_bundles_and_several_at_once_are_not() -> None:
    assert Spin().after(0.0, 1, 400) == 0.0, "the very first"
    assert after_two(Spin(), 2 * CLOSE) == 0.0
    assert after_two(Spin(), CLOSE / 2, size=LONE + 1) == 0.0
    assert after_two(Spin(), CLOSE / 2, messages=2) == 0.0


def test_a_turn_that_read_nothing_neither_looks_nor_counts() -> None:
    spin = Spin()
    spin.after(10.0, 1, 400)
    assert spin.after(10.0 + CLOSE / 2, 0, 0) == 0.0
    assert spin.after(10.0 + 2 * CLOSE, 1, 400) == 0.0, (
        "counted from the last message, not from the empty turn"
    )


def test_zero_turns_it_off_and_nonsense_is_refused() -> None:
    assert after_two(Spin(0.0), CLOSE / 2) == 0.0
    for seconds in (-0.1, 1.0):
        with pytest.raises(msgspec.ValidationError, match="spin"):
            msgspec.convert({"spin": seconds}, BusSettings)
