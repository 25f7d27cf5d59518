"""Send the prompt, and know whether the page took it."""

from __future__ import annotations

from playwright.async_api import Frame

from drivers.guard import PageMoved
from drivers.recipes.recipe import Locator, SendWay
from drivers.skills.compose import Held, Match, compose, match, read_input
from drivers.skills.exchange import Exchange
from drivers.skills.press import press
from drivers.trouble import Trouble, from_http, trouble
from kernel.tasks import Stage, TroubleKind

EVIDENCE_SECONDS = 2.5
"""How long a page may take to show that it took a prompt."""
SLOW_EVIDENCE_SECONDS = 20.0
"""The same, once the input no longer holds the prompt or the wire is busy."""
PACKED_EVIDENCE_SECONDS = 8.0
"""The same where the input holds the prompt, but something left the page that is as large."""


LOOK_SECONDS = 0.5


def evidence(exchange: Exchange, prompt: str) -> str | None:
    """What shows that the page took the prompt: its turn; a request that carried it; or the emptied input,
    or a reply, each together with something large enough that left the page (one that wakes up late empties its
    input too)."""
    report = exchange.report
    if report is None:
        return None
    holds = report.input.present and match(prompt, report.input.value) >= Match.WORDS
    if report.user and (not holds or exchange.page.outgoing.carried):
        return "user_turn"
    emptied = report.input.present and not report.input.value.strip()
    if exchange.text.strip() and (exchange.page.outgoing.carried or exchange.page.outgoing.requests):
        return "reply_began"
    if exchange.page.outgoing.carried and (emptied or not report.input.present or report.input.disabled):
        return "request_carried_prompt"
    if emptied and exchange.page.outgoing.requests:
        return "input_emptied"
    return None


def draft_lost(exchange: Exchange) -> bool:
    """Is the input empty though nothing left the page that could have held the prompt, and no turn shows it?

    A new document may have been handed the prompt and send it itself: then it is not lost.
    """
    report = exchange.report
    return (
        report is not None
        and not exchange.lost
        and not exchange.reloaded
        and report.input.present
        and not report.input.disabled
        and not report.input.value.strip()
        and not report.user
        and not exchange.page.outgoing.requests
    )


async def submit(
    exchange: Exchange,
    frame: Frame,
    inputs: tuple[Locator, ...],
    send: tuple[Locator, ...],
    ways: tuple[SendWay, ...],
    prompt: str,
    *,
    patience: float = EVIDENCE_SECONDS,
) -> tuple[SendWay, str]:
    """Send it, the first way first; another only while it is certain that the last one did nothing.

    Returns the way that worked and the evidence. Raises Trouble: SUBMIT_REFUSED, proved where the input still
    holds the whole prompt and nothing went out, with stage SUBMITTED where that is not certain.
    """
    tried: list[str] = []
    for number, way in enumerate(ways):
        if number:
            held = await read_input(exchange.page, frame, inputs)
            if held.value.rstrip("\n") != prompt.rstrip("\n") and match(prompt, held.value) < Match.EXACT:
                await compose(exchange.page, frame, inputs, prompt, send)
        exchange.page.outgoing.begin(prompt)
        exchange.sent(composed=True)
        if not await press(exchange.page, frame, way, send):
            continue
        tried.append(way.value)
        found = await _await_evidence(exchange, prompt, patience)
        if found:
            return way, found
        await exchange.look()
        held = await _held(exchange, frame, inputs)
        kept = held.present and match(prompt, held.value) >= Match.WORDS
        if kept and exchange.page.outgoing.requests and not exchange.page.outgoing.carried:
            # Something left that could be the prompt in another dress: look longer before it is sent again.
            found = await _await_evidence(exchange, prompt, PACKED_EVIDENCE_SECONDS)
            if found:
                return way, found
        if exchange.page.outgoing.carried or not (kept or draft_lost(exchange)):
            found = await _await_evidence(exchange, prompt, SLOW_EVIDENCE_SECONDS)
            if found:
                return way, found
            failing = _http_trouble(exchange)
            if failing is not None:
                raise failing.at(Stage.SUBMITTED)
            raise trouble(
                TroubleKind.SUBMIT_REFUSED,
                f"after {way} the page showed neither the prompt nor a reply",
                stage=Stage.SUBMITTED,
            )
    failing = _http_trouble(exchange)
    if failing is not None:
        raise failing.refused()
    how = ", ".join(tried) or "nothing to press was found"
    reason = f"the input still holds the whole prompt ({how})"
    raise trouble(TroubleKind.SUBMIT_REFUSED, reason).refused()


async def _held(exchange: Exchange, frame: Frame, inputs: tuple[Locator, ...]) -> Held:
    """What the input holds; nothing, while the page goes from one document to the next."""
    try:
        return await read_input(exchange.page, frame, inputs)
    except PageMoved:
        return Held(present=False)


async def _await_evidence(exchange: Exchange, prompt: str, seconds: float) -> str | None:
    until = exchange.now + seconds
    while True:
        found = evidence(exchange, prompt)
        if found or exchange.now >= until:
            return found
        before = exchange.now
        await exchange.wait(min(until - exchange.now, LOOK_SECONDS))
        if (
            exchange.now - before >= LOOK_SECONDS
        ):  # silence: maybe the prompt went out with the whole document
            await exchange.look()


def _http_trouble(exchange: Exchange) -> Trouble | None:
    return from_http(exchange.page.capture.activity().http_errors, said_prompt=True)
