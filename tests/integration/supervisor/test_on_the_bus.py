"""The supervisor with the real broker and real actors: signs of life, commands, events."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psutil
import pytest

from nerv.bus.endpoints import endpoints_of
from nerv.bus.peer_socket import Peer
from nerv.errors import RemoteError
from nerv.messages import (
    SUPERVISOR,
    ActorChanged,
    ActorRestart,
    ActorState,
    ActorStatus,
    ClusterStatus,
    Reloaded,
    SupervisorReload,
    SupervisorStatus,
    SupervisorStop,
)
from tests.integration.supervisor.harness import Rig

TREE = """
[supervisor]
tick_misses = 3
sample_seconds = 0.2
[group.bus]
[group.work]
[actor.bus]
group = "bus"
run = "nerv.bus.server:BusActor"
[actor.one]
group = "work"
run = "nerv.actor:Actor"
[actor.two]
group = "work"
run = "nerv.actor:Actor"
"""
WAIT_SECONDS = 30.0


@asynccontextmanager
async def observed(rig: Rig) -> AsyncIterator[Peer]:
    rig.start()
    peer = Peer(endpoints_of(rig.instance), name="observer")
    await peer.open(timeout=WAIT_SECONDS)
    try:
        await until(
            peer, "all are ready", lambda tree: all(one.state is ActorState.READY for one in tree.actors)
        )
        yield peer
    finally:
        await peer.close()
        assert await asyncio.to_thread(rig.stop) == 0
    assert rig.files_left() == []


async def status(peer: Peer) -> ClusterStatus:
    return await peer.request(SUPERVISOR, SupervisorStatus())


async def actor(peer: Peer, name: str) -> ActorStatus:
    return next(one for one in (await status(peer)).actors if one.name == name)


async def until(peer: Peer, what: str, condition: Callable[[ClusterStatus], bool]) -> ClusterStatus:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition(answer := await status(peer)):
        assert time.monotonic() < deadline, f"{what}: {answer}"
        await asyncio.sleep(0.02)
    return answer


async def reborn(peer: Peer, name: str, old: ActorStatus) -> ActorStatus:
    def again(tree: ClusterStatus) -> bool:
        now = next(one for one in tree.actors if one.name == name)
        return now.state is ActorState.READY and now.incarnation != old.incarnation

    answer = await until(peer, f"{name} lives again", again)
    return next(one for one in answer.actors if one.name == name)


async def test_status_shows_every_actor_with_what_it_uses(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(TREE)
    async with observed(rig) as peer:
        tree = await until(peer, "usage is known", lambda tree: all(one.memory_bytes for one in tree.actors))
        assert [one.name for one in tree.actors] == ["bus", "one", "two"]
        assert tree.supervisor_pid == rig.running.pid
        for one in tree.actors:
            assert one.pid is not None
            assert one.memory_bytes > 5_000_000
            assert psutil.Process(one.pid).ppid() == tree.supervisor_pid
        await until(peer, "ticks are seen", lambda tree: all(one.last_tick_at for one in tree.actors))


async def test_a_killed_actor_is_back_with_a_new_incarnation_and_its_change_is_published(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(TREE)
    async with observed(rig) as peer, peer.subscribe("actor.one") as events:
        old = await actor(peer, "one")
        assert old.pid is not None
        os.kill(old.pid, signal.SIGKILL)
        states = []
        async with asyncio.timeout(WAIT_SECONDS):
            async for event in events:
                assert isinstance(event.message, ActorChanged)
                states.append(event.message.status.state)
                if states[-1] is ActorState.READY:
                    break
        assert states == [ActorState.BACKOFF, ActorState.STARTING, ActorState.READY]
        new = await reborn(peer, "one", old)
        assert (new.restarts, new.last_exit) == (1, "signal 9 (SIGKILL)")


async def test_an_actor_whose_loop_hangs_is_restarted_and_nobody_else(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(TREE)
    async with observed(rig) as peer:
        old, other = await actor(peer, "one"), await actor(peer, "two")
        assert old.pid is not None
        os.kill(old.pid, signal.SIGSTOP)
        new = await reborn(peer, "one", old)
        assert "hung: no tick" in str(new.last_exit)
        assert (await actor(peer, "two")).pid == other.pid


async def test_before_a_hung_actor_is_killed_it_says_where_it_hangs(make_rig: Callable[..., Rig]) -> None:
    stuck = '[actor.stuck]\ngroup = "work"\nrun = "tests.integration.supervisor.stuck:Stuck"\n'
    rig = make_rig(TREE + stuck)
    async with observed(rig) as peer:
        await until(peer, "it was restarted", lambda tree: any(one.restarts for one in tree.actors))
        hung = await actor(peer, "stuck")
        assert "hung: no tick" in str(hung.last_exit)
        assert "never_come_back" in (rig.instance.logs / "stuck.out").read_text()


async def test_a_hanging_broker_is_restarted_and_its_peers_are_not_blamed(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(TREE)
    async with observed(rig) as peer:
        old, one, two = await actor(peer, "bus"), await actor(peer, "one"), await actor(peer, "two")
        assert old.pid is not None
        os.kill(old.pid, signal.SIGSTOP)
        new = await reborn(peer, "bus", old)
        assert "hung: passed on nothing" in str(new.last_exit)
        assert ((await actor(peer, "one")).pid, (await actor(peer, "two")).pid) == (one.pid, two.pid)


async def test_a_supervisor_that_stood_still_blames_nobody(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(TREE)
    async with observed(rig) as peer:
        before = await status(peer)
        supervisor = psutil.Process(before.supervisor_pid)
        supervisor.suspend()
        await asyncio.sleep(4.0)  # longer than an actor may be silent
        supervisor.resume()
        await asyncio.sleep(4.0)
        after = await status(peer)
        assert [one.pid for one in after.actors] == [one.pid for one in before.actors]


async def test_restart_on_demand_answers_when_the_actor_is_ready_again(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(TREE)
    async with observed(rig) as peer:
        old = await actor(peer, "one")
        await peer.request(SUPERVISOR, ActorRestart(name="one", reason="because"))
        new = await actor(peer, "one")
        assert new.state is ActorState.READY
        assert new.incarnation != old.incarnation
        assert new.last_exit == "because"
        with pytest.raises(RemoteError, match=r"no actor is called 'nobody'.*known: bus, one, two"):
            await peer.request(SUPERVISOR, ActorRestart(name="nobody"))


async def test_reload_over_the_bus_tells_what_it_did_or_what_is_wrong(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(TREE)
    async with observed(rig) as peer:
        rig.write(TREE.replace("[actor.two]", "[actor.three]"))
        answer = await peer.request(SUPERVISOR, SupervisorReload())
        assert answer == Reloaded(added=("three",), removed=("two",))
        await until(
            peer, "three is ready", lambda tree: [one.name for one in tree.actors] == ["bus", "one", "three"]
        )
        rig.write(TREE + 'colour = "red"\n')
        with pytest.raises(RemoteError, match=r"supervisor.toml, line \d+: unknown key 'colour'"):
            await peer.request(SUPERVISOR, SupervisorReload())


async def test_stop_over_the_bus_is_answered_and_leaves_nothing(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(TREE)
    async with observed(rig) as peer:
        await peer.request(SUPERVISOR, SupervisorStop())
        assert await asyncio.to_thread(rig.process.wait, 20) == 0
        assert rig.files_left() == []
