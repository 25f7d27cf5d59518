"""Watches the actors of a tree: signs of life, memory, processor; reaps what they leave to us."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor

from nerv.messages import ActorState
from nerv.supervisor.child import Child
from nerv.supervisor.journal import Journal
from nerv.supervisor.liveness import Hearing, deafness, silence
from nerv.supervisor.restart import ExitKind
from nerv.supervisor.specification import BUS
from nerv.supervisor.tree import Tree
from nerv.supervisor.usage import Sample, Sampler

CHECK_SECONDS = 0.5
STALL_SECONDS = 1.0
"""A check that comes so late means that we stood still ourselves: judge nobody by that time."""


class Monitor:
    """Run :meth:`watch` and :meth:`sample` as tasks. ``owns_process``: it may reap any child of this process."""

    def __init__(self, tree: Tree, journal: Journal, *, owns_process: bool) -> None:
        self.hearing = Hearing()
        self.loop_lag = 0.0
        """How late the last check came, in seconds."""
        self._tree = tree
        self._journal = journal
        self._owns_process = owns_process
        self._judged_since = time.monotonic()
        # Reading /proc takes milliseconds, on a crowded machine tens of them: not in the loop.
        self._samplers = ThreadPoolExecutor(1, thread_name_prefix="sample")

    async def watch(self) -> None:
        """Judge the signs of life, twice a second."""
        due = time.monotonic() + CHECK_SECONDS
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            self.loop_lag = max(0.0, now - due)
            if self.loop_lag > STALL_SECONDS:
                self._journal.write("warning", "the supervisor stood still", detail=f"{self.loop_lag:.1f} s")
                self.hearing.lost()
                self._judged_since = now
            due = now + CHECK_SECONDS
            self._judge(now)

    async def sample(self) -> None:
        """Measure what each tree of processes uses, every ``sample_seconds``."""
        loop = asyncio.get_running_loop()
        sampler = Sampler(parent=os.getpid())
        while True:
            asked = {child.pid: child for child in self._tree.children.values() if child.pid is not None}
            members = {pid: child.usage.members for pid, child in asked.items()}
            sample = await loop.run_in_executor(self._samplers, sampler.sample, members)
            for pid, child in asked.items():
                if child.pid == pid:
                    child.usage = sample.usage[pid]
                    self._limit_memory(child)
            self._reap(sample)
            await asyncio.sleep(self._tree.specification.limits.sample_seconds)

    def close(self) -> None:
        self._samplers.shutdown(wait=False, cancel_futures=True)

    def _judge(self, now: float) -> None:
        for child in self._tree.children.values():
            if child.state is ActorState.READY and child.ready_at is not None:
                found = self._silence_of(child, child.ready_at, now)
                if found is not None:
                    child.condemn(ExitKind.HUNG, f"hung: {found}", forced=True)

    def _silence_of(self, child: Child, ready_at: float, now: float) -> str | None:
        allowed = child.spec.silence_seconds
        if child.name == BUS:
            quiet = deafness(
                now=now,
                ready_at=ready_at,
                last_echo=self.hearing.last(),
                judged_since=self._judged_since,
                allowed=allowed,
            )
            return None if quiet is None else f"passed on nothing for {quiet:.1f} s"
        quiet = silence(
            now=now,
            ready_at=ready_at,
            last_tick=child.last_tick,
            hearing_since=self.hearing.since(now),
            allowed=allowed,
        )
        return None if quiet is None else f"no tick for {quiet:.1f} s"

    def _limit_memory(self, child: Child) -> None:
        limit, used = child.spec.memory_bytes, child.usage.memory_bytes
        if limit is not None and used > limit and child.state is ActorState.READY:
            text = f"memory {used / 1e6:.0f} MB over its limit of {limit / 1e6:.0f} MB"
            self._journal.write("warning", "memory limit", actor=child.name, detail=text)
            child.condemn(ExitKind.MEMORY, text, forced=False)

    def _reap(self, sample: Sample) -> None:
        """We are the subreaper: what our children left comes to us when it dies, and has to be waited for."""
        if self._owns_process:
            own = {child.pid for child in self._tree.children.values()}
            for pid in sample.zombies - own:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
