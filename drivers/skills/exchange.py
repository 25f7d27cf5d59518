"""One prompt and its reply, as page and wire show them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections.abc import Callable

import msgspec
from playwright.async_api import ElementHandle, Frame

from drivers.capture import StreamRule, WireDelta
from drivers.guard import PageMoved
from drivers.page import ChatPage
from drivers.recipes.recipe import Completion, Limits, Locator, Recipe
from drivers.skills.answers import Answers
from drivers.skills.complete import Facts
from drivers.skills.report import Report, controls_differ, likely_parts, turn_controls, utf16_prefix
from drivers.skills.stream import ReplyStream
from drivers.trouble import Trouble

END_SECONDS = 1.0
FOLLOW_SECONDS = 0.25
"""Without a rule, the wire is compared with the page this often while the reply grows."""
WIRE_FIRST_SECONDS = 2.0
"""With a rule, the page's text is streamed only where the wire stays silent this long after the page began."""

_SHOWN_SHARE = 0.9

_ids = itertools.count(1)


class Exchange:
    """Follows one exchange. Make it with :meth:`begin`, before the prompt is sent."""

    def __init__(
        self, page: ChatPage, frame: Frame, completion: Completion, limits: Limits, stream: ReplyStream | None
    ) -> None:
        self.page = page
        self.frame = frame
        self.stream = stream
        self.id = next(_ids)
        self.text = ""
        self.report: Report | None = None
        self.wake = asyncio.Event()
        self.lost = False
        """The document was replaced: the in-page script of this exchange is gone."""
        self.reloaded = False
        """It was replaced after the prompt was sent, and is followed in the new one."""
        self.submitted_at: float | None = None
        self.first_text_at: float | None = None
        self.changed_at = 0.0
        self.alive_at = asyncio.get_running_loop().time()
        """When the page last gave a sign of life."""
        self.busy_signatures: set[str] = set()
        self.busy_controls_at: float | None = None
        self.input_was_there = False
        self.input_was_away = False
        self.was_spinning = False
        """Something was in endless motion while text of the reply was there."""
        self.control_flicked = False
        """A control was disabled and enabled again since the prompt was sent, maybe between two reports."""
        self.was_busy = False
        """A control was seen that the recipe knows to be there only while a reply is made."""
        self.controls_at_text = 0
        self.controls_before_text = 0
        """The same count, as of the report before the one that last brought text."""
        self.learned_rule = False
        """The recipe says where the reply is on the wire: proved by an earlier exchange."""
        self.controls_while_growing = False
        """The turn had controls of its own while its text still grew: they are no sign of its end."""
        self.wire_began = False
        self.alerts: dict[str, tuple[int, int]] = {}
        """Characters of the reply on page and wire when each alert came up; kept as long as the exchange."""
        self._completion = completion
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._rule: StreamRule | None = None
        self._gives_sign = False
        self._followed_at = 0.0
        self._live: str | None = None
        self._live_at = 0.0
        self._forget: Callable[[], None] = lambda: None
        self._options: dict[str, object] = {}

    @classmethod
    async def begin(
        cls,
        page: ChatPage,
        frame: Frame,
        recipe: Recipe,
        inputs: tuple[Locator, ...],
        prompt: str,
        stream: ReplyStream | None,
        *,
        history: bool = False,
    ) -> Exchange:
        """Note what the page shows now, and follow what becomes of it. ``history``: nothing counts as old."""
        it = cls(page, frame, recipe.completion, recipe.limits, stream)
        it._rule = recipe.stream
        it.learned_rule = recipe.stream is not None
        it._gives_sign = recipe.proof is not None and "unproven" not in recipe.proof.signs
        it._forget = page.on_end(it.wake.set)
        page.listen(it._take)
        if not history:
            page.capture.begin(prompt, recipe.stream, it.wire)
        it._options = {
            "id": it.id,
            "prompt": prompt,
            "input": inputs,
            "reply": recipe.locators.reply,
            "stop": recipe.locators.stop,
            "history": history,
        }
        it.changed_at = it._loop.time()
        await page.call(frame, "begin", it._options, into=dict[str, int])
        return it

    async def again(self) -> None:
        """The document was replaced: follow the same exchange in the new one, where all that is there counts."""
        self.lost = False
        self.reloaded = self.submitted_at is not None
        self._options["history"] = True
        if self.frame.is_detached():
            self.frame = self.page.page.main_frame
        try:
            await self.page.call(self.frame, "begin", self._options, into=dict[str, int])
        except PageMoved:
            self.lost = True

    async def look(self) -> None:
        """Ask the page for a report now; where the document was replaced, follow it there. Raises Trouble."""
        try:
            if not await self.page.call(self.frame, "look", into=bool):
                self.lost = True
        except PageMoved:
            self.lost = True
        if self.lost:
            await self.again()

    async def end(self) -> None:
        """Stop following. Never fails: what is wrong with the page was told by whoever asked it last."""
        self._forget()
        self.page.listen(None)
        if self.page.crashed or self.page.closed:
            return
        with contextlib.suppress(Trouble):
            await self.page.call(self.frame, "end", into=bool, seconds=END_SECONDS)

    # -- what comes in ---------------------------------------------------------------------------------

    def _take(self, frame: Frame, message: str) -> None:
        if frame is not self.frame:
            return
        report = msgspec.json.decode(message.encode("utf-8", "surrogatepass"), type=Report)
        if report.id != self.id:
            return
        now = self.alive_at = self._loop.time()
        before = self.text
        self._note_alerts(report)
        if report.offset or report.text or report.rewritten:
            self.text = utf16_prefix(self.text, report.offset) + report.text
        if self.text != before or self.report is None:
            self.changed_at = now - min(report.quiet / 1000, 0.5)
        if self.text != before and before and report.reply_controls:
            self.controls_while_growing = True
        if self.text and self.first_text_at is None:
            self.first_text_at = now
        if self.submitted_at is not None:
            self._note_controls(report, now)
        self.report = report
        if self.text != before:
            self.controls_before_text = self.controls_at_text
            self.controls_at_text = turn_controls(report)
            self._page_text(now)
        self.wake.set()

    def _note_alerts(self, report: Report) -> None:
        """Remember how far the reply had come when an alert came up: one that the reply outgrows is no failure."""
        if report.alerts:
            size = len(report.text) + report.offset, len(self.page.capture.live_text() or "")
            for alert in report.alerts:
                self.alerts.setdefault(alert, size)

    def outgrown(self, alert: str) -> bool:
        """Has the reply gone on since this alert came up?"""
        shown, heard = self.alerts.get(alert, (0, 0))
        live = self.page.capture.live_text() or ""
        return len(self.text) > shown > 0 or len(live) > heard > 0

    def _note_controls(self, report: Report, now: float) -> None:
        if self._changed_controls(report):
            self.busy_controls_at = now
            self.busy_signatures.update(report.added)
        self.input_was_away = self.input_was_away or (report.input_flicked and self.input_was_there)
        self.control_flicked = self.control_flicked or report.control_flicked
        self.was_spinning = self.was_spinning or (report.spinning and bool(self.text.strip()))
        if report.busy or set(self._completion.busy) & set(report.added):
            self.was_busy = True
        if report.input.present and not report.input.disabled:
            self.input_was_there = True
        elif self.input_was_there:  # a page that is still loading has not taken its input away
            self.input_was_away = True

    def _changed_controls(self, report: Report) -> bool:
        return controls_differ(report.added, report.removed, self._completion)

    def _page_text(self, now: float) -> None:
        if self._rule is None and now - self._followed_at >= FOLLOW_SECONDS:
            self._followed_at = now
            self._rule = self.page.capture.follow(self.text)
        if self.stream is None or self.wire_began:
            return
        begun = self.first_text_at if self.first_text_at is not None else now
        if self._rule is None or now - begun >= WIRE_FIRST_SECONDS:
            self.stream.become(self.text)

    def wire(self, delta: WireDelta) -> None:
        """A delta of the wire: from its first one on, the wire is what is streamed."""
        if self.stream is not None:
            if not self.wire_began:
                self.stream.become("")
            self.stream.append(delta.offset, delta.text, delta.rewrite)
        self.wire_began = True
        self.wake.set()

    # -- what it amounts to ----------------------------------------------------------------------------

    @property
    def actions_came(self) -> bool:
        """Controls of the reply came up after its text had stopped growing."""
        report = self.report
        return report is not None and turn_controls(report) > self.controls_at_text

    @property
    def now(self) -> float:
        return self._loop.time()

    def sent(self, *, composed: bool = False) -> None:
        """The prompt is being sent now. ``composed``: it was just written, so the input was there and enabled."""
        self.submitted_at = self.changed_at = self._loop.time()
        self.input_was_there = self.input_was_there or composed

    def facts(self, *, covered: bool = False) -> Facts:
        now = self._loop.time()
        began = self.submitted_at if self.submitted_at is not None else now
        answers = self.answers()
        wire = answers.wire
        report = self.report
        changed = report is not None and self._changed_controls(report)
        learned = set(self._completion.busy)
        busy = report is not None and (report.busy or bool(learned & set(report.added)))
        away = report is None or not report.input.present or report.input.disabled
        live = self.page.capture.live_text()
        if live != self._live:
            self._live, self._live_at = live, now
        # Sockets carry heartbeats, polls come for ever: only bytes of the reply tell that it still grows.
        bytes_at = [s.last_byte_at for s in wire.streams if s.transport == "http" and s.streaming]
        spinning = report is not None and report.spinning
        hung_up = self.learned_rule and not self._completion.stream_ends and answers.hung_up()
        # Busy controls that would tell it too may come and go between two looks.
        empty = self._completion.in_answer and not live and answers.answered() and answers.in_answer()
        began_at = self.first_text_at
        answered = not live and began_at is not None and answers.request_answered(began_at)
        alive_at = self._live_at if live else max(bytes_at, default=None)
        return Facts(
            since_submit=now - began,
            quiet=now - max(self.changed_at, began),
            text=bool(self.text.strip()),
            busy=busy,
            controls_back=((self.busy_controls_at is not None or self.control_flicked) and not changed)
            or (self.was_busy and not busy),
            input_disabled=report is not None and report.input.present and report.input.disabled,
            input_back=self.input_was_away and not away,
            actions=self.actions_came
            or (self._completion.actions and report is not None and bool(report.reply_controls)),
            learned=self.learned_rule,
            toolbar=report is not None and turn_controls(report) > self.controls_before_text,
            spinning=spinning,
            indicator_gone=report is not None
            and (report.indicator_gone or self.was_spinning)
            and not spinning,
            wire_text=bool(live),
            wire_quiet=now - max(alive_at, began) if alive_at is not None else None,
            said_end=wire.said_end,
            carrier_ended=answered or (not live and self._document_ended()),
            wire_ended=empty or (answers.ended(now) and not hung_up),
            wire_open=wire.reply_ended is False,
            wire_ends=self._completion.stream_ends,
            wire_failed=answers.broke_off() or bool(wire.said_failure),
            hung_up=hung_up,
            carrier_open=self._rule is None and not self._completion.request_stays and answers.request_open(),
            on_wire=self.on_wire,
            gives_sign=self._gives_sign and not self._in_document,
            covered=covered,
            quiet_needed=self._completion.quiet,
            stall=self._limits.stall,
            first_sign=self._limits.first_sign,
        )

    @property
    def _in_document(self) -> bool:
        """Is the reply looked for in a document that was opened, or opened again, after the prompt was sent?"""
        return bool(self._options["history"])

    @property
    def on_wire(self) -> bool:
        """Must the reply come on the wire? It is known where, and it does not come with a document."""
        return self.learned_rule and not self._in_document

    def answers(self, rule: StreamRule | None = None) -> Answers:
        """What came on the wire so far. ``rule``: where replies are; without it, by the rule in use."""
        return Answers(self.page.capture.activity(), self.page.outgoing.carriers, rule or self._rule)

    def _document_ended(self) -> bool:
        """Did the prompt go out with a form, and has the document that answers it arrived in full?"""
        loaded = self.report is not None and self.report.loaded
        return self.page.outgoing.by_document and self.reloaded and loaded and not self.lost

    def rule_stream_ended(self) -> bool:
        """Did a response of the kind that the recipe's rule names end cleanly, with nothing of a reply in it?"""
        if not self.learned_rule or self.page.capture.live_text():
            return False
        return self.answers().response_over()

    async def adopt_proved(self, *, by_rule: bool) -> bool:
        """Look whether a part of what is new on the page is a text of the wire; from then on that part is the reply.

        What was taken for the reply may hold more: thoughts above it, suggestions below it. ``by_rule``: only the
        text that the rule in use gave counts.
        """
        parts = await self.page.call(self.frame, "parts", into=tuple[str, ...])
        # A rule found in this very exchange may have found a label of the page ("Assistant"): it proves no part.
        known = (self.page.capture.live_text() or "") if self.learned_rule else ""
        best: tuple[tuple[bool, bool, int], int] | None = None
        for index, text in likely_parts(parts, self.text, known, by_rule=by_rule):
            await asyncio.sleep(0)  # a comparison takes a while, and other pages wait
            proof = self.page.capture.prove(text, part=True)
            if proof is None or (by_rule and proof.text != known):
                continue
            live, streamed = bool(known) and proof.text == known, proof.steps > 1
            rank = (live, streamed, index if live or streamed else len(text))
            if best is None or rank > best[0]:
                best = (rank, index)
        return best is not None and await self.page.call(self.frame, "adopt", best[1], into=bool)

    async def shows_already(self, text: str) -> bool:
        """Does the page show the words of a text somewhere? Where nothing of it is new, it is an earlier turn's."""
        shown = await self.page.call(self.frame, "words", into=frozenset[str])
        wanted = set(re.findall(r"[^\W_]+", text.lower()))
        return bool(wanted) and len(wanted & shown) >= _SHOWN_SHARE * len(wanted)

    async def reply_element(self) -> ElementHandle | None:
        return await self.page.element(self.frame, "replyElement")

    async def wait(self, seconds: float) -> None:
        """Until something new is known, at most this long. Raises Trouble when the page is gone."""
        self.page.check()
        try:
            async with asyncio.timeout(seconds):
                await self.wake.wait()
        except TimeoutError:
            pass
        self.wake.clear()
        self.page.check()
