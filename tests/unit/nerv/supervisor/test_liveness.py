"""Silence is judged only while the supervisor can hear."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nerv.supervisor.liveness import ECHO_SECONDS, Hearing, deafness, silence

ALLOWED = 5.0


def quiet(
    now: float, *, ready_at: float = 0.0, last: float | None = None, since: float | None = 0.0
) -> float | None:
    return silence(now=now, ready_at=ready_at, last_tick=last, hearing_since=since, allowed=ALLOWED)


def test_an_actor_without_ticks_is_silent_from_the_moment_it_was_ready() -> None:
    assert quiet(5.0) is None
    assert quiet(5.5) == 5.5


def test_a_tick_begins_the_count_again() -> None:
    assert quiet(9.0, last=4.0) is None
    assert quiet(9.5, last=4.0) == 5.5


def test_nobody_is_silent_while_we_cannot_hear() -> None:
    assert quiet(1_000.0, since=None) is None


def test_after_the_bus_is_back_everybody_gets_the_full_time() -> None:
    assert quiet(1_000.0, last=3.0, since=996.0) is None
    assert quiet(1_002.0, last=3.0, since=996.0) == 6.0


def test_hearing_is_lost_with_the_echo_and_begins_anew_with_the_next() -> None:
    hearing = Hearing()
    assert hearing.since(0.0) is None
    for second in range(5):
        hearing.echo(float(second))
    assert hearing.since(4.0 + ECHO_SECONDS) == 0.0
    assert hearing.since(4.1 + ECHO_SECONDS) is None
    hearing.echo(20.0)
    assert hearing.since(20.0) == 20.0


def test_after_a_stall_of_our_own_hearing_begins_anew() -> None:
    hearing = Hearing()
    hearing.echo(1.0)
    hearing.lost()
    assert hearing.since(1.1) is None


@given(stopped_at=st.floats(0, 100), checks=st.lists(st.floats(0, 60), max_size=50))
def test_a_stopped_broker_never_makes_its_peers_look_hung(stopped_at: float, checks: list[float]) -> None:
    """All ticks and echoes end at the same moment: whenever we look, the broker must be the one to blame."""
    hearing = Hearing()
    ticks = [float(second) for second in range(int(stopped_at) + 1)]
    for at in ticks:
        hearing.echo(at)
    for after in checks:
        now = stopped_at + after
        assert quiet(now, last=ticks[-1], since=hearing.since(now)) is None
    late = stopped_at + ALLOWED + 1.1
    assert (
        deafness(now=late, ready_at=0.0, last_echo=hearing.last(), judged_since=0.0, allowed=ALLOWED)
        is not None
    )


def test_a_broker_gets_its_time_after_its_start_and_after_our_own_stall() -> None:
    assert deafness(now=10.0, ready_at=6.0, last_echo=None, judged_since=0.0, allowed=ALLOWED) is None
    assert deafness(now=10.0, ready_at=0.0, last_echo=1.0, judged_since=9.0, allowed=ALLOWED) is None
    assert deafness(now=10.0, ready_at=0.0, last_echo=1.0, judged_since=0.0, allowed=ALLOWED) == 9.0
