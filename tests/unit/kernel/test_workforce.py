from __future__ import annotations

from kernel.messages import DriverOffer
from kernel.tasks import Lease, LeaseToken, Task, TaskId
from kernel.workforce import GIVEN_SECONDS, OFFER_SECONDS, START_GRACE, Lost, Workforce
from tests.unit.kernel.make import running

T1, T2 = TaskId("t1"), TaskId("t2")


def offer(
    incarnation: str = "a", free: int = 2, tasks: tuple[TaskId, ...] = (), driver: str = "d"
) -> DriverOffer:
    return DriverOffer(driver=driver, incarnation=incarnation, pages=2, free=free, tasks=tasks)


def leased(task_id: TaskId, owner: str) -> Task:
    return running(id=task_id, lease=Lease(token=LeaseToken("k"), owner=owner, until=0.0))


def test_what_was_handed_over_since_the_offer_takes_its_room() -> None:
    force = Workforce(now=0.0)
    force.offer(offer(), now=0.0)
    force.gave("d", T1, now=0.0)
    (capacity,) = force.capacities(now=0.1)
    assert (capacity.free, capacity.in_hand, capacity.owner) == (1, 1, "d@a")
    force.offer(offer(free=1, tasks=(T1,)), now=0.2)
    (capacity,) = force.capacities(now=0.3)
    assert (capacity.free, capacity.in_hand) == (1, 1)


def test_a_driver_that_is_silent_gets_no_work() -> None:
    force = Workforce(now=0.0)
    force.offer(offer(), now=0.0)
    assert force.capacities(now=OFFER_SECONDS) != ()
    assert force.capacities(now=OFFER_SECONDS + 1) == ()


def test_a_new_life_loses_what_the_old_one_had() -> None:
    force = Workforce(now=0.0)
    assert force.offer(offer("a", tasks=(T1,)), now=0.0) is None
    lost = force.offer(offer("b"), now=1.0)
    assert lost is not None
    assert (lost.owner, lost.loss, lost.id) == ("d@a", True, None)
    assert force.gone("d", reason="x", unless="b") is None
    assert force.gone("other", reason="x") is None
    assert force.gone("d", reason="x") == Lost(owner="d@b", reason="x")


def test_who_holds_a_task_is_known_from_the_moment_it_was_given() -> None:
    force = Workforce(now=0.0)
    force.offer(offer(), now=0.0)
    assert force.holder(T1) is None
    force.gave("d", T1, now=0.0)
    assert force.holder(T1) == "d"
    force.ended(T1)
    force.offer(offer(tasks=(T1,)), now=1.0)
    assert force.holder(T1) == "d"


def test_after_a_kernels_start_owners_have_time_to_show_up() -> None:
    force = Workforce(now=0.0)
    tasks = [leased(T1, "d@a")]
    assert force.lost(tasks, now=START_GRACE) == ()
    (lost,) = force.lost(tasks, now=START_GRACE + 1)
    assert (lost.owner, lost.loss) == ("d@a", True)


def test_the_leases_of_a_former_life_are_lost_at_once() -> None:
    force = Workforce(now=0.0)
    force.offer(offer("b"), now=0.0)
    (lost,) = force.lost([leased(T1, "d@a"), leased(T2, "d@a")], now=0.1)
    assert (lost.owner, lost.id) == ("d@a", None)


def test_a_task_that_its_worker_never_took_goes_back_uncounted() -> None:
    force = Workforce(now=0.0)
    force.offer(offer(), now=0.0)
    tasks = [leased(T1, "d@a")]
    assert force.lost(tasks, now=1.0) == ()
    assert force.lost(tasks, now=1.0 + GIVEN_SECONDS + 1) == (), "no offer since it was first missed"
    force.offer(offer(), now=7.5)
    (lost,) = force.lost(tasks, now=8.0)
    assert (lost.id, lost.loss) == (T1, False)


def test_a_task_in_hand_is_nobodys_loss() -> None:
    force = Workforce(now=0.0)
    force.offer(offer(tasks=(T1,)), now=0.0)
    force.gave("d", T2, now=0.0)
    assert force.lost([leased(T1, "d@a"), leased(T2, "d@a")], now=100.0) == ()


def test_a_full_driver_gets_nothing_until_its_next_offer() -> None:
    force = Workforce(now=0.0)
    force.offer(offer(), now=0.0)
    force.full("d")
    assert force.capacities(now=0.1)[0].free == 0
    force.offer(offer(), now=0.2)
    assert force.capacities(now=0.3)[0].free == 2
