"""From an address to a recipe: scores propose, behaviour decides."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from msgspec.structs import replace
from playwright.async_api import Frame

from drivers.discovery.probe import make_probe
from drivers.discovery.thread import shows_prompt
from drivers.guard import PageMoved
from drivers.locate import Candidate, PageSnapshot, Step, rank_launchers, rank_sends, reply_locators_for
from drivers.page import ChatPage, frame_address
from drivers.recipes.recipe import (
    Completion,
    FrameRule,
    Locator,
    Locators,
    Origin,
    Proof,
    Recipe,
    SendWay,
)
from drivers.session import BrowserSession
from drivers.skills.complete import Verdict
from drivers.skills.compose import compose
from drivers.skills.exchange import Exchange
from drivers.skills.follow import Ending, Taken, follow, take
from drivers.skills.heal import Count, best_inputs, locators_of
from drivers.skills.report import tells_apart
from drivers.skills.settle import Ready, clear_overlays, click, explain, may_launch
from drivers.skills.submit import submit
from drivers.trouble import Trouble, trouble
from kernel.tasks import Finish, TroubleKind
from nerv.errors import NervError, invalid

_log = logging.getLogger("nerv.discovery")
DISCOVERY_SECONDS = 240.0
FIND_SECONDS = 25.0
MAX_INPUTS = 4
MAX_SENDS = 3
SURE = 0.5
"""An input of this score is tried at once; for less, overlays are cleared and launchers opened first."""
PATIENCE_SECONDS = 2.5


class _Spot(NamedTuple):
    """A possible input."""

    score: float
    frame: Frame
    candidate: Candidate
    shot: PageSnapshot
    locators: tuple[Locator, ...]


async def discover(
    session: BrowserSession, url: str, *, name: str | None = None, probe: str | None = None
) -> Recipe:
    """Find how the chat page at ``url`` is worked and prove it by one exchange.

    Raises a NervError for an address that cannot be one, Trouble saying what was found and what was not.
    """
    address = check_url(url)
    named = name or name_of(address)
    asked = make_probe(probe)
    try:
        async with asyncio.timeout(DISCOVERY_SECONDS):
            async with _new_page(session, named) as page:
                recipe = await _Discovery(page, address, named, asked).run()
                async with _new_page(session, named) as other:
                    return replace(recipe, one_thread=await _one_thread(other, recipe, asked))
    except TimeoutError as late:
        raise trouble(TroubleKind.DEADLINE, f"{url}: not done within {DISCOVERY_SECONDS:g} s") from late


@contextlib.asynccontextmanager
async def _new_page(session: BrowserSession, name: str) -> AsyncIterator[ChatPage]:
    lease = await session.lease(f"discovery:{name}", "default", None)
    try:
        yield lease.page
    finally:
        await session.release(lease, reuse=False)


async def _one_thread(page: ChatPage, recipe: Recipe, asked: str) -> bool:
    """Whether another page shows the probe. One that cannot be opened now says nothing: then tasks take turns."""
    try:
        return await shows_prompt(page, recipe, asked)
    except (Trouble, TimeoutError) as failing:
        _log.warning("%s: no second page to compare with: %s", recipe.name, failing)
        return True


def check_url(url: str) -> str:
    """An address with a scheme. Raises a NervError when it is not http(s)."""
    text = url.strip()
    if "://" not in text and re.match(r"^[\w.-]+(:\d+)?(/|$)", text):
        text = ("http://" if re.match(r"^(localhost|127\.|\[::1\])", text) else "https://") + text
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NervError(
            invalid(f"{url!r} is not an address of a web page", field="url", fix="Give http(s)://…")
        )
    return text


def name_of(url: str) -> str:
    """A recipe name from an address: its host, its port if it has one."""
    parts = urlsplit(url)
    host = re.sub(r"^(www|chat|app)\.", "", parts.hostname or "page")
    text = host if host.replace(".", "").isdigit() or "." not in host else host.rsplit(".", 1)[0]
    text = f"{text}-{parts.port}" if parts.port else text
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:60] or "page"


class _Discovery:
    def __init__(self, page: ChatPage, url: str, name: str, probe: str) -> None:
        self.page = page
        self.url = url
        self.name = name
        self.probe = probe
        self.launcher: tuple[Locator, ...] = ()
        self.tried: list[str] = []

    async def run(self) -> Recipe:
        await self.page.go(self.url)
        spots = await self._inputs()
        failing: Trouble | None = None
        for spot in spots[:MAX_INPUTS]:
            try:
                return await self._prove(spot)
            except Trouble as error:
                if error.kind in (
                    TroubleKind.BROWSER_DEAD, TroubleKind.PAGE_CRASHED, TroubleKind.PAGE_FROZEN, TroubleKind.RATE_LIMIT,
                    TroubleKind.LOGIN_WALL, TroubleKind.CHALLENGE,
                ):  # fmt: skip
                    raise
                self.tried.append(f"{_named(spot.candidate)}: {error.error.reason}")
                failing = error
                if (
                    error.error.stage.rank > 2
                ):  # it was sent: sending it into another box would be a second prompt
                    break
        found = "; ".join(self.tried) or "no input box was found"
        raise trouble(failing.kind if failing else TroubleKind.INPUT_NOT_FOUND, f"{self.url}: {found}")

    # -- finding ---------------------------------------------------------------------------------------

    async def _inputs(self) -> list[_Spot]:
        """Possible inputs, best first. Takes away what is in the way and opens a closed chat to find a good one."""
        until = time.monotonic() + FIND_SECONDS
        launched: dict[tuple[object, ...], list[float]] = {}
        rounds = 0
        while True:
            rounds += 1
            await self._quiet()
            try:
                found = await best_inputs(self.page)
                good = [it for it in found if it[0] >= SURE and not it[2].disabled]
                if good:
                    if any(it[2].covered for it in good[:1]) or rounds == 1:
                        cleared = await clear_overlays(self.page, ())
                        if cleared and rounds < 6:
                            continue
                    return await self._spots(found)
                if rounds <= 4 and await clear_overlays(self.page, ()):
                    continue
                if rounds >= 2 and await self._launch(launched):
                    continue
                late = time.monotonic() > until
                if found and (late or time.monotonic() > until - FIND_SECONDS / 2):
                    return await self._spots(found)
                failing = await explain(self.page, "missing", quick=True)
                if failing.kind is not TroubleKind.INPUT_NOT_FOUND and rounds >= 3:
                    raise failing
                if late:
                    raise await explain(self.page, "missing")
            except PageMoved:
                continue
            await asyncio.sleep(0.25)

    async def _spots(self, found: list[tuple[float, Frame, Candidate, PageSnapshot]]) -> list[_Spot]:
        spots: list[_Spot] = []
        for score, frame, candidate, shot in found:
            with contextlib.suppress(PageMoved):
                fresh = await self.page.call(frame, "snapshot", into=PageSnapshot)
                same = [it for it in fresh.inputs if it.signature == candidate.signature]
                locators = await locators_of(self.page, frame, (same or [candidate])[0].pick)
                if locators:
                    spots.append(_Spot(score, frame, candidate, shot, locators))
            if len(spots) >= MAX_INPUTS:
                break
        return spots

    async def _quiet(self) -> None:
        for frame in self.page.frames():
            with contextlib.suppress(PageMoved):
                await self.page.call(frame, "ready", (), 200, 2500, into=Ready, seconds=10)

    async def _launch(self, launched: dict[tuple[object, ...], list[float]]) -> bool:
        """Open a closed chat by its bubble. True: something was clicked.

        ``launched``: when each was clicked. A page that was not awake yet hears a second click after a while.
        """
        best: tuple[float, Frame, Candidate] | None = None
        for frame in self.page.frames():
            with contextlib.suppress(PageMoved):
                shot = await self.page.call(frame, "snapshot", into=PageSnapshot)
                for score, candidate in rank_launchers(shot):
                    if may_launch(launched.get(candidate.signature, ()), time.monotonic()) and (
                        best is None or score > best[0]
                    ):
                        best = (score, frame, candidate)
        if best is None:
            return False
        _, frame, candidate = best
        launched.setdefault(candidate.signature, []).append(time.monotonic())
        fresh = await self.page.call(frame, "snapshot", into=PageSnapshot)
        same = [it for it in fresh.controls if it.signature == candidate.signature]
        if not same:
            return False
        self.launcher = await locators_of(self.page, frame, same[0].pick)
        element = await self.page.element(frame, "pick", same[0].pick)
        if element is None:
            return False
        await click(element)
        await asyncio.sleep(0.3)
        return True

    # -- proving ---------------------------------------------------------------------------------------

    async def _prove(self, spot: _Spot) -> Recipe:
        """Write into the input, send, follow the reply, learn. Raises Trouble at the first thing that fails."""
        page, frame = self.page, spot.frame
        await page.call(frame, "idle", into=int)
        before = await page.call(frame, "snapshot", into=PageSnapshot)
        await compose(page, frame, spot.locators, self.probe)
        send = await self._sends(spot, before)
        draft = self._draft(spot, send)
        exchange = await Exchange.begin(page, frame, draft, spot.locators, self.probe, None)
        try:
            ways = (
                (SendWay.ENTER, SendWay.CLICK, SendWay.CTRL_ENTER)
                if send
                else (SendWay.ENTER, SendWay.CTRL_ENTER)
            )
            way, proof = await submit(
                exchange, frame, spot.locators, send, ways, self.probe, patience=PATIENCE_SECONDS
            )
            deadline = asyncio.get_running_loop().time() + DISCOVERY_SECONDS - 30
            ending = await follow(exchange, deadline)
            if ending.verdict is Verdict.CUT_OFF:
                raise trouble(TroubleKind.CUT_OFF, f"the reply to the probe broke off {ending.alert}")
            taken = await take(exchange, ending, self.probe)
            return await self._learned(draft, exchange, ending, taken, way, proof)
        finally:
            await exchange.end()

    async def _sends(self, spot: _Spot, before: PageSnapshot) -> tuple[Locator, ...]:
        """Locators of the send control that scores best, now that something is typed."""
        await asyncio.sleep(0.1)  # a control that appears by typing needs a frame to be drawn
        shot = await self.page.call(spot.frame, "snapshot", into=PageSnapshot)
        box = next(
            (it for it in shot.inputs if it.signature[:1] == spot.candidate.signature[:1] and it.focused),
            None,
        )
        ranked = rank_sends(shot, box or spot.candidate, before)
        found: list[Locator] = []
        for _, candidate in ranked[:1]:
            found += await locators_of(self.page, spot.frame, candidate.pick)
        return tuple(found[:5])

    def _draft(self, spot: _Spot, send: tuple[Locator, ...]) -> Recipe:
        rule = FrameRule()
        if spot.frame is not self.page.page.main_frame:
            rule = FrameRule(name=spot.frame.name, address=frame_address(spot.frame.url))
        return Recipe(
            name=self.name,
            address=self.url,
            origin=Origin.DISCOVERED,
            locators=Locators(input=spot.locators, send=send, launcher=self.launcher),
            frame=rule,
        )

    async def _learned(
        self, draft: Recipe, exchange: Exchange, ending: Ending, taken: Taken, way: SendWay, proof: str
    ) -> Recipe:
        if not taken.text.strip():
            raise trouble(TroubleKind.EMPTY_REPLY, "the probe was answered without a text")
        await self.page.call(exchange.frame, "look", into=bool)
        report = exchange.report
        settled = frozenset(report.added) if report is not None else frozenset()
        gone = frozenset(report.removed) if report is not None else frozenset()
        actions = bool(report and report.reply_controls) and not exchange.controls_while_growing
        stop = tuple(sorted(filter(tells_apart, exchange.busy_signatures - settled)))
        history = False
        with contextlib.suppress(Trouble):
            link = await self.page.element(self.page.page.main_frame, "historyLink", self.probe)
            history = link is not None
        return replace(
            draft,
            tried_live=True,
            send=way,
            locators=replace(draft.locators, reply=await self._reply_locators(exchange)),
            stream=taken.rule,
            completion=Completion(
                busy=stop[:12],
                settled=tuple(sorted(settled))[:30],
                gone=tuple(sorted(gone))[:30],
                learned=True,
                actions=actions,
                in_answer=taken.rule is not None and exchange.answers(taken.rule).in_answer(),
                request_stays=exchange.answers().request_open(),
                stream_ends=taken.rule is not None and exchange.answers(taken.rule).streams_over(),
            ),
            history=history,
            proof=Proof(
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                probe=self.probe,
                chars=len(taken.text),
                source=taken.source.value,
                signs=(proof, *ending.signs) if taken.finish is Finish.COMPLETE else (proof, "unproven"),
            ),
        )

    async def _reply_locators(self, exchange: Exchange) -> tuple[Locator, ...]:
        """Selectors of the kind of element the reply is, that name neither the prompt's turn nor the input."""
        lineage = await self.page.call(exchange.frame, "replyLineage", into=tuple[Step, ...])
        wanted = reply_locators_for(lineage)
        fits = await self.page.call(exchange.frame, "replyFits", wanted, into=tuple[bool, ...])
        counts = await self.page.call(exchange.frame, "counts", wanted, into=tuple[Count, ...])
        good = [it for it, fit, count in zip(wanted, fits, counts, strict=True) if fit and count.visible <= 6]
        return tuple(good[:4])


def _named(candidate: Candidate) -> str:
    label = candidate.label or candidate.placeholder or candidate.name
    return f"{candidate.tag} {label[:40]!r}" if label else candidate.tag
