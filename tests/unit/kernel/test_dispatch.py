from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kernel.breaker import Breaker, BreakerState
from kernel.dispatch import Capacity, plan

OPEN = Breaker(state=BreakerState.OPEN, until=1e9)
HALF = Breaker(state=BreakerState.HALF_OPEN)
PROBING = Breaker(state=BreakerState.HALF_OPEN, probe="t", until=1e9)


def driver(name: str, free: int, in_hand: int = 0) -> Capacity:
    return Capacity(driver=name, incarnation="i", free=free, in_hand=in_hand)


def test_each_free_page_is_asked_for_and_the_emptiest_driver_first() -> None:
    requests = plan([driver("d1", 1, 3), driver("d2", 2, 0), driver("d3", 0, 4)], {}, {})
    assert [(request.owner, request.limit) for request in requests] == [("d2@i", 2), ("d1@i", 1)]


def test_an_account_whose_breaker_is_not_closed_is_left_out() -> None:
    (request,) = plan([driver("d", 2)], {"zai/default": OPEN, "a/x": PROBING, "b/y": Breaker(failures=2)}, {})
    assert request.without_keys == ("a/x", "zai/default")
    assert request.only_keys is None


def test_a_half_open_account_gets_one_probe_of_its_own() -> None:
    requests = plan([driver("d1", 1), driver("d2", 3)], {"zai/default": HALF}, {})
    probe, *rest = requests
    assert (probe.owner, probe.limit, probe.only_keys, probe.probe) == (
        "d2@i",
        1,
        ("zai/default",),
        "zai/default",
    )
    assert {request.owner: request.limit for request in rest} == {"d1@i": 1, "d2@i": 2}
    assert all(request.without_keys == ("zai/default",) for request in rest)


def test_a_driver_whose_breaker_is_open_gets_nothing_and_a_half_open_one_a_single_task() -> None:
    drivers = [driver("bad", 2), driver("mending", 2), driver("busy", 2, 1)]
    requests = plan(drivers, {}, {"bad": OPEN, "mending": HALF, "busy": HALF})
    assert [(request.driver, request.limit) for request in requests] == [("mending", 1)]


BREAKERS = st.sampled_from([Breaker(), OPEN, HALF, PROBING])


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=3), st.tuples(st.integers(-1, 5), st.integers(0, 5)), max_size=5
    ),
    st.dictionaries(st.sampled_from(["a/x", "a/y", "b/x"]), BREAKERS),
    st.dictionaries(st.text(min_size=1, max_size=3), BREAKERS),
)
def test_no_driver_is_asked_to_take_more_than_it_has_pages(
    drivers: dict[str, tuple[int, int]], accounts: dict[str, Breaker], browsers: dict[str, Breaker]
) -> None:
    capacities = [driver(name, free, in_hand) for name, (free, in_hand) in drivers.items()]
    requests = plan(capacities, accounts, browsers)
    for capacity in capacities:
        asked = sum(request.limit for request in requests if request.driver == capacity.driver)
        assert asked <= max(0, capacity.free)
    probes = [request.probe for request in requests if request.probe]
    assert len(probes) == len(set(probes))
    assert all(request.limit > 0 for request in requests)
