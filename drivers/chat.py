"""The chat flow: settle, compose, submit with evidence, follow to the end, hand over. Or: harvest."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import msgspec

from drivers.conversation import conversation_address
from drivers.guard import PageMoved
from drivers.page import ChatPage
from drivers.recipes.recipe import Recipe, SendWay
from drivers.session import PageLease
from drivers.skills.compose import compose
from drivers.skills.exchange import Exchange
from drivers.skills.follow import Ending, Taken, follow, take
from drivers.skills.harvest import find_exchange
from drivers.skills.settle import Settled, settle
from drivers.skills.stream import Progress, ReplyStream
from drivers.skills.submit import submit
from drivers.trouble import Trouble, trouble
from kernel.tasks import Finish, ReplySource, Stage, TroubleKind

__all__ = ("ChatResult", "Progress", "Resume", "Timings", "run_chat")


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """How far an earlier attempt came."""

    stage: Stage
    conversation: str | None = None


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds each part of an exchange took. ``first``: from the submission to the first text of the reply."""

    settle: float = 0.0
    compose: float = 0.0
    submit: float = 0.0
    first: float | None = None
    reply: float = 0.0
    final: float = 0.0


class ChatResult(msgspec.Struct, frozen=True, kw_only=True):
    """A reply, what its text rests on, and by which signs it is known to have ended."""

    text: str
    source: ReplySource
    finish: Finish
    conversation: str | None = None
    signs: tuple[str, ...] = ()
    why: str = ""
    timings: Timings = Timings()


async def run_chat(
    lease: PageLease,
    recipe: Recipe,
    prompt: str,
    progress: Progress,
    *,
    resume: Resume | None = None,
    deadline: float,
) -> ChatResult:
    """Ask one prompt and return its reply. ``deadline``: time of the event loop.

    With ``resume`` at SUBMITTED or later the prompt is not sent again unless it is proved that the page did not
    take it; its reply is looked for instead. Raises Trouble.
    """
    if recipe.limits.prompt_chars and len(prompt) > recipe.limits.prompt_chars:
        raise trouble(
            TroubleKind.COMPOSE_MISMATCH,
            f"the prompt has {len(prompt)} characters, {recipe.name} takes {recipe.limits.prompt_chars}",
        )
    stream = ReplyStream(progress)
    stage = resume.stage if resume is not None else Stage.NONE
    flow = _Flow(lease, recipe, prompt, progress, stream, deadline, stage)
    try:
        async with asyncio.timeout_at(deadline + 15.0), _sending(stream):
            if resume is not None and resume.stage.rank >= Stage.SUBMITTED.rank:
                found = await flow.harvest(resume)
                if found is not None:
                    return found
            return await flow.ask()
    except TimeoutError as late:
        raise trouble(TroubleKind.DEADLINE, "not done before the deadline", stage=flow.stage) from late
    except PageMoved as moved:
        raise trouble(TroubleKind.INTERNAL, moved.error.reason, stage=flow.stage) from moved
    finally:
        lease.prepared = False


@contextlib.asynccontextmanager
async def _sending(stream: ReplyStream) -> AsyncIterator[None]:
    """Deltas go out while the body runs; an error of the receiver ends the body."""
    failures: list[Exception] = []
    try:
        async with asyncio.TaskGroup() as group:
            sender = group.create_task(stream.run(), name="reply deltas")
            try:
                yield
            except Exception as error:  # noqa: BLE001 - raised below, out of the group that would wrap it
                failures.append(error)
            finally:
                sender.cancel()
    except* Exception as errors:  # noqa: BLE001 - as above
        failures.extend(errors.exceptions)
    if failures:
        raise failures[0]


class _Flow:
    """One run: what was found on the way."""

    def __init__(
        self,
        lease: PageLease,
        recipe: Recipe,
        prompt: str,
        progress: Progress,
        stream: ReplyStream,
        deadline: float,
        stage: Stage,
    ) -> None:
        self.lease = lease
        self.page: ChatPage = lease.page
        self.recipe = recipe
        self.prompt = prompt
        self.progress = progress
        self.stream = stream
        self.deadline = deadline
        self.stage = stage
        self.conversation: str | None = None
        self.before = recipe.address

    async def reached(self, stage: Stage, conversation: str | None = None) -> None:
        await self.progress.stage(stage, conversation)
        self.stage = stage

    async def ask(self) -> ChatResult:
        start = time.perf_counter()
        settled = await self._settled()
        await self.reached(Stage.PREPARED)
        ready = time.perf_counter()
        await compose(self.page, settled.frame, settled.input, self.prompt, self.recipe.locators.send)
        await self.reached(Stage.TYPED)
        typed = time.perf_counter()
        self.before = self.page.page.url
        exchange = await Exchange.begin(
            self.page, settled.frame, self.recipe, settled.input, self.prompt, self.stream
        )
        try:
            await self.reached(Stage.SUBMITTED)
            _, proof = await submit(
                exchange, settled.frame, settled.input, self.recipe.locators.send, self._ways(), self.prompt
            )
            self.conversation = self._address()
            await self.reached(Stage.ACCEPTED, self.conversation)
            taken = time.perf_counter()
            return await self._finish(
                exchange,
                Timings(settle=ready - start, compose=typed - ready, submit=taken - typed),
                (f"accepted:{proof}",),
            )
        except Trouble as failing:
            raise await self._as_refused(failing) from failing
        finally:
            await exchange.end()

    async def _as_refused(self, failing: Trouble) -> Trouble:
        """The same trouble; proved, if it is, that the server took the prompt from no request."""
        outgoing, capture = self.page.outgoing, self.page.capture
        if failing.error.refused or not outgoing.refused(capture.activity().http_errors):
            return failing
        await self.page.close()  # or it might try again by itself
        return failing.refused() if outgoing.refused(capture.activity().http_errors) else failing

    async def harvest(self, resume: Resume) -> ChatResult | None:
        """The reply to a prompt that was sent before; None: the page is proved not to have taken it."""
        self.conversation = resume.conversation
        exchange = await find_exchange(
            self.page, self.recipe, self.prompt, resume.conversation, resume.stage, self.stream
        )
        if exchange is None:
            self.stage = Stage.NONE
            self.conversation = None
            return None
        try:
            self.conversation = self.conversation or self._address()
            await self.reached(Stage.ACCEPTED, self.conversation)
            return await self._finish(exchange, Timings(), ("harvested",))
        finally:
            await exchange.end()

    async def _settled(self) -> Settled:
        frame = self.page.frame(self.recipe.frame)
        if self.lease.prepared and frame is not None:
            return Settled(frame=frame, input=self.recipe.locators.input)
        return await settle(self.page, self.recipe, navigate=True, seconds=max(1.0, min(45.0, self._left())))

    def _ways(self) -> tuple[SendWay, ...]:
        first = self.recipe.send
        others = (SendWay.CLICK, SendWay.ENTER) if self.recipe.locators.send else (SendWay.ENTER,)
        # The proved way once more at the end: a page that was not quite awake may have missed the first.
        return (first, *(way for way in others if way is not first), first)

    def _left(self) -> float:
        return self.deadline - asyncio.get_running_loop().time()

    def _address(self) -> str | None:
        return conversation_address(self.recipe.address, self.before, self.page.page.url)

    async def _finish(self, exchange: Exchange, timings: Timings, signs: tuple[str, ...]) -> ChatResult:
        began = time.perf_counter()
        ending = await self._follow(exchange)
        ended = time.perf_counter()
        taken: Taken = await take(exchange, ending, self.prompt)
        self.stream.become(taken.text)
        await self.stream.flush()
        first = None
        if exchange.first_text_at is not None and exchange.submitted_at is not None:
            first = exchange.first_text_at - exchange.submitted_at
        return ChatResult(
            text=taken.text,
            source=taken.source,
            finish=taken.finish,
            conversation=self.conversation,
            signs=(*signs, *ending.signs),
            why=taken.why,
            timings=msgspec.structs.replace(
                timings, first=first, reply=ended - began, final=time.perf_counter() - ended
            ),
        )

    async def _follow(self, exchange: Exchange) -> Ending:
        """Follow the reply; tell the conversation's address as soon as the page shows one."""
        try:
            ending = await follow(exchange, self.deadline, self._tell_address)
        except Trouble as failing:
            raise failing.at(self.stage) from failing
        await self._tell_address()
        return ending

    async def _tell_address(self) -> None:
        found = self._address() if self.conversation is None else None
        if found is not None:
            self.conversation = found
            await self.reached(Stage.ACCEPTED, found)
