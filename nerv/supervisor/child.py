"""One actor under supervision: a small state machine that brings what is in line with what is wanted.

It has a task of its own and waits only for its own process. Orders are flags that anybody may set at any time
and that are obeyed as soon as the order of the tree allows; setting one twice changes nothing.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Protocol

import msgspec

from nerv.bus.envelope import Incarnation, new_incarnation
from nerv.messages import ActorState, ActorStatus
from nerv.supervisor.order import View
from nerv.supervisor.process import Launch, Process
from nerv.supervisor.restart import Exit, ExitKind, History, Outcome, classify, decide
from nerv.supervisor.specification import ActorSpec

KILL_SECONDS = 5.0
"""How long the kernel may take to end a process after SIGKILL before we say so aloud (and go on waiting)."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What the tree of a child uses, and who is in it."""

    cpu_percent: float = 0.0
    memory_bytes: int = 0
    members: frozenset[tuple[int, float]] = frozenset()


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A reason to end the present life. ``forced``: no use in asking politely, it does not listen."""

    end: Exit
    forced: bool = False


class Surroundings(Protocol):
    """What a child needs from its supervisor."""

    @property
    def hurry(self) -> bool:
        """Skip the polite steps of every ladder."""

    def monotonic(self) -> float: ...
    def wall(self) -> float: ...
    def chance(self) -> float: ...
    async def prepare(self, spec: ActorSpec, incarnation: Incarnation) -> Launch: ...
    async def bury(
        self, process: Process, spec: ActorSpec, incarnation: Incarnation, usage: Usage
    ) -> None: ...
    def may_start(self, child: Child) -> bool: ...
    def may_stop(self, child: Child) -> bool: ...
    def group_failures(self, group: str) -> tuple[float, ...]: ...
    def abort_seconds(self) -> float: ...
    def changed(self, child: Child) -> None: ...
    def rested(self, child: Child) -> None:
        """It is down, and wanted to be."""

    def failed(self, child: Child, end: Exit) -> None:
        """A life ended that nobody asked to end, and the child will be restarted (or parked)."""

    def note(self, level: str, event: str, child: Child, detail: str = "") -> None: ...


class Child:
    """See the module. Only its own task changes :attr:`state`."""

    def __init__(self, spec: ActorSpec, surroundings: Surroundings) -> None:
        self.spec = spec
        self.state = ActorState.STOPPED
        self.wanted = True
        """Whether it shall run. Set by :meth:`want`."""
        self.retired = False
        """A reload removed it: its task ends once it is down."""
        self.usage = Usage()
        self.last_tick: float | None = None
        """Monotonic time of its last sign of life."""
        self.ready_at: float | None = None
        self.starts = 0
        self.busy = False
        """Whether there is a life, from its first preparation to its burial."""
        self.incarnation: Incarnation | None = None
        self._around = surroundings
        self._order: Order | None = None
        self._process: Process | None = None
        self._history = History()
        self._settled = False
        self._next_start: float = 0.0
        self._last_exit: str | None = None
        self._last_tick_wall: float | None = None
        self._started_wall: float | None = None
        self._wake = asyncio.Event()

    # --- orders: callable from anywhere in the loop -----------------------------------------------------

    def want(self, wanted: bool, *, reason: str = "") -> None:
        """Make it run, or stop it and keep it stopped."""
        self.wanted = wanted
        if not wanted and self._process is not None and self._order is None:
            self._order = Order(end=Exit(kind=ExitKind.ASKED, text=reason or "stopped"))
        self.wake()

    def retire(self) -> None:
        self.retired = True
        self.want(False, reason="removed by a reload")

    def revive(self, spec: ActorSpec) -> None:
        """A retired one that is still there is wanted again."""
        self.retired = False
        self.spec = spec
        self.forgive()
        self.want(True)

    def cycle(self, reason: str) -> None:
        """End the present life, if there is one, politely, and start another at once."""
        if self._process is not None and self._order is None:
            self._order = Order(end=Exit(kind=ExitKind.ASKED, text=reason))
            self.wake()

    def forgive(self) -> None:
        """Forget its failures: one that waits, is parked, refused or finished starts now."""
        self._settled = False
        self._next_start = 0.0
        self._history = History()
        self.wake()

    def condemn(self, kind: ExitKind, text: str, *, forced: bool) -> None:
        """End the present life because of what it does: hung, too much memory. Counts as a failure."""
        if self._process is not None and self._order is None:
            self._order = Order(end=Exit(kind=kind, text=text), forced=forced)
            self.wake()

    def adopt(self, spec: ActorSpec) -> None:
        """New limits from a reload; they hold from now on."""
        self.spec = spec
        self.wake()

    def tick(self, incarnation: str, wall: float) -> None:
        """A sign of life came over the bus; one of an earlier life says nothing about this one."""
        if incarnation == self.incarnation:
            self.last_tick = self._around.monotonic()
            self._last_tick_wall = wall

    def wake(self) -> None:
        self._wake.set()

    # --- what others may see ---------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def leaving(self) -> bool:
        return self._order is not None

    def view(self) -> View:
        return View(state=self.state, leaving=self.leaving)

    def status(self) -> ActorStatus:
        wait = self._next_start - self._around.monotonic()
        waiting = self.state in (ActorState.BACKOFF, ActorState.PARKED)
        return ActorStatus(
            name=self.name,
            group=self.spec.group,
            state=self.state,
            pid=self.pid,
            incarnation=self.incarnation if self._process is not None else None,
            started_at=self._started_wall if self._process is not None else None,
            restarts=max(0, self.starts - 1),
            cpu_percent=self.usage.cpu_percent,
            memory_bytes=self.usage.memory_bytes,
            last_tick_at=self._last_tick_wall,
            last_exit=self._last_exit,
            next_start_at=self._around.wall() + max(0.0, wait) if waiting else None,
        )

    # --- its life --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until it is retired and down. Cancelling it is no way to stop the actor: use :meth:`retire`."""
        while True:
            if not self.wanted:
                self._enter(ActorState.STOPPED)
                self._around.rested(self)
                if self.retired:
                    return
                await self._sleep(None)
            elif self._settled:  # refused or finished: only a reload or an operator wakes it
                await self._sleep(None)
            elif (wait := self._next_start - self._around.monotonic()) > 0:
                await self._sleep(wait)
            elif not self._around.may_start(self):
                await self._sleep(None)
            else:
                self.busy = True
                try:
                    await self._live()
                finally:
                    self.busy = False

    async def _live(self) -> None:
        started_before = self.starts
        self.incarnation = new_incarnation()
        self.usage, self.last_tick, self.ready_at = Usage(), None, None
        self._order, self._last_tick_wall = None, None
        self._started_wall = self._around.wall()
        try:
            launch = await self._around.prepare(self.spec, self.incarnation)
            if not self.wanted or not self._around.may_start(self):
                launch.discard()
                return  # things changed while we prepared
            self.starts += 1
            self._process = Process(launch, self.wake)
        except OSError as error:
            self.starts = started_before + 1
            self._after(Exit(kind=ExitKind.FAILED, text=f"cannot start: {error}"))
            return
        self._enter(ActorState.STARTING)
        process = self._process
        end = await self._until_end(process)
        if self.state is not ActorState.STOPPING:
            self._around.note("warning", "actor ended", self, end.text)
        await self._around.bury(process, self.spec, self.incarnation, self.usage)
        process.close()
        self._process = None
        self.usage = Usage()
        self._after(end)

    async def _until_end(self, process: Process) -> Exit:
        until = self._around.monotonic() + self.spec.start_seconds
        while process.returncode is None:
            if not self.wanted and self._order is None:
                self._order = Order(end=Exit(kind=ExitKind.ASKED, text="stopped"))
            if self._order is not None and (self._order.forced or self._around.may_stop(self)):
                self._enter(ActorState.STOPPING)
                await self._ladder(process, self._order)
                return self._order.end
            if process.ready and self.state is ActorState.STARTING:
                self.ready_at = self._around.monotonic()
                self._enter(ActorState.READY)
            if process.stopping:
                return await self._leaving_by_itself(process)
            starting = self.state is ActorState.STARTING
            left = until - self._around.monotonic() if starting else None
            if left is not None and left <= 0:
                text = f"not ready within {self.spec.start_seconds:g} s"
                self.condemn(ExitKind.NOT_READY, text, forced=True)
                continue
            await self._sleep(left)
        return classify(process.returncode)

    async def _leaving_by_itself(self, process: Process) -> Exit:
        """Somebody else told it to stop, and it said so: let it drain as long as if we had."""
        self._enter(ActorState.STOPPING)
        await self._ended(process, self.spec.stop_seconds)
        if process.returncode is not None:
            return classify(process.returncode)
        end = Exit(kind=ExitKind.HUNG, text=f"stopping for more than {self.spec.stop_seconds:g} s")
        await self._ladder(process, Order(end=end, forced=True))
        return end

    async def _ladder(self, process: Process, order: Order) -> None:
        """TERM (drain) → ABRT (stack dump) → KILL. What is left of its tree dies when it is buried."""
        if not order.forced and not self._around.hurry:
            process.signal(signal.SIGTERM)
            await self._ended(process, self.spec.stop_seconds)
        if process.returncode is None and not self._around.hurry:
            self._around.note("warning", "actor does not stop: asking for its stacks", self, order.end.text)
            process.signal(signal.SIGABRT)
            await self._ended(process, self._around.abort_seconds())
        while process.returncode is None:
            process.signal(signal.SIGKILL)
            await self._ended(process, KILL_SECONDS, hurried=True)
            if process.returncode is None:
                self._around.note("error", "actor survives SIGKILL: stuck in the kernel", self)

    async def _ended(self, process: Process, seconds: float, *, hurried: bool = False) -> None:
        until = self._around.monotonic() + seconds
        while process.returncode is None and (hurried or not self._around.hurry):
            left = until - self._around.monotonic()
            if left <= 0:
                return
            await self._sleep(left)

    def _after(self, end: Exit) -> None:
        """Decide what comes next, and say so."""
        now = self._around.monotonic()
        self._last_exit = end.text
        self._order = None
        decision, self._history = decide(
            self.spec.restart,
            end,
            self._history,
            self.spec.policy,
            now=now,
            ready_at=self.ready_at,
            group_recent=self._around.group_failures(self.spec.group),
            chance=self._around.chance(),
        )
        self._next_start = now + decision.delay
        match decision.outcome:
            case Outcome.RESTART | Outcome.PARK:
                parked = decision.outcome is Outcome.PARK
                if end.kind is not ExitKind.ASKED:
                    self._around.failed(self, end)
                if self.wanted:
                    self._enter(ActorState.PARKED if parked else ActorState.BACKOFF)
                if parked:
                    text = f"failed too often; next try in {decision.delay:.0f} s"
                    self._around.note("error", "actor parked", self, text)
            case Outcome.REFUSE:
                self._settled = True
                self._enter(ActorState.REFUSED)
                self._around.note("error", "actor refused its configuration: not retried", self, end.text)
            case Outcome.FINISH:
                self._settled = True
                self._enter(ActorState.FINISHED)

    def _enter(self, state: ActorState) -> None:
        if state is not self.state:
            self.state = state
            self._around.changed(self)

    async def _sleep(self, seconds: float | None) -> None:
        """Until somebody wakes us, or for ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()


__all__ = ["Child", "Order", "Surroundings", "Usage"]
