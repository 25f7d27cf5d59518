"""Follow a reply to its end, and take its text by the best evidence."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import msgspec

from drivers.capture import StreamRule, WireReply
from drivers.guard import guarded
from drivers.skills.complete import AHEAD_SECONDS, FAILED_SECONDS, Facts, Verdict, decide, next_look, signs_of
from drivers.skills.exchange import Exchange
from drivers.text import final_text
from drivers.trouble import Trouble, from_http, trouble
from kernel.tasks import Finish, ReplySource, Stage, TroubleKind

LIVENESS_SECONDS = 2.0
FROZEN_SECONDS = 15.0
"""A page that shows no life for so long is frozen. A busy machine makes healthy ones silent for seconds, and
giving one up early loses the reply on every page that keeps no conversations."""
ALERT_SECONDS = 1.5
PROVE_SECONDS = 0.1
"""The page is compared with the wire once its text has stood for so long, …"""
PROVE_ENDED_SECONDS = 0.005
"""… or, once the stream has ended, so soon after the last time, …"""
PROVE_SHARE = 4.0
"""… and after so many times as long as that took: a long reply must not be compared without pause."""
ADOPT_SECONDS = 2.0
"""Where nothing else tells the end, a text that is not proved has stood for so long when its parts are tried."""
ADOPTED_SECONDS = 0.5
"""How long the page's report of what was adopted is awaited."""
FINAL_SECONDS = 8.0
_LABEL_WORDS = 3
_FEW_WORDS = 8
"""So few words are the beginning of a text only where they are its very first."""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a reply ended, by what evidence."""

    verdict: Verdict
    signs: tuple[str, ...] = ()
    alert: str = ""
    proof: WireReply | None = None
    """The reply's text on the wire, proved by all that the page shows at the end."""
    ahead: bool = False
    """The page shows the beginning of what the wire gave in full: it is still drawing."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The reply's text and what it rests on."""

    text: str
    source: ReplySource
    finish: Finish
    why: str = ""
    rule: StreamRule | None = None
    """Where it was on the wire, if it is proved to be from there."""


async def follow(
    exchange: Exchange, deadline: float, tick: Callable[[], Awaitable[None]] | None = None
) -> Ending:
    """Wait for the end of the reply. ``deadline``: time of the event loop. Raises Trouble when none comes.

    ``tick`` is called at every look: on each report of the page, and every ``LIVENESS_SECONDS`` at least.
    """
    proof: WireReply | None = None
    ahead = drawn = False
    proved_at = 0.0
    proved_for: tuple[str, int, int] | None = None
    adopted_for: tuple[str, int, int] | None = None
    pause = PROVE_ENDED_SECONDS
    looked_at = exchange.now
    while True:
        if tick is not None:
            await tick()
        facts = exchange.facts()
        stands = facts.text and facts.quiet >= PROVE_SECONDS
        over = facts.wire_ended or facts.said_end or facts.carrier_ended or facts.quiet >= ADOPT_SECONDS
        if facts.wire_ended or (stands and (facts.wire_text or over)):
            streams = exchange.page.capture.activity().streams
            key = (exchange.text, sum(s.received for s in streams), sum(s.ended for s in streams))
            due = exchange.now - proved_at >= (pause if facts.wire_ended else 1.0)
            if key != proved_for and (due or facts.quiet >= PROVE_SECONDS):
                proved_for, began = key, exchange.now
                proof = exchange.page.capture.prove(exchange.text) if exchange.text else None
                live = exchange.page.capture.live_text() or ""
                ahead = proof is None and exchange.learned_rule and shows_beginning(exchange.text, live)
                drawn = proof is None and not live and stands and exchange.page.capture.drawn(exchange.text)
                proved_at = exchange.now
                pause = max(PROVE_ENDED_SECONDS, PROVE_SHARE * (proved_at - began))
            if proof is None and key == proved_for and stands and over and adopted_for != key:
                adopted_for = key
                if await exchange.adopt_proved(by_rule=ahead):
                    await exchange.wait(ADOPTED_SECONDS)
                    continue
        known = proved_for is not None and proved_for[0] == exchange.text
        # What ended may be another stream of the kind: the one that carries the reply must have.
        covered = proof is not None and known and not (proof.open and facts.wire_ended)
        if proof is not None and proof.outgrown and facts.quiet < AHEAD_SECONDS:
            covered = False  # the page may only not have drawn more yet
        facts = msgspec.structs.replace(facts, covered=covered, ahead=ahead, drawn=drawn and known)
        alert = _alert(exchange)
        verdict = decide(facts)
        if verdict is not Verdict.WAIT:
            ending = _ending(exchange, facts, verdict, alert)
            return msgspec.structs.replace(
                ending, proof=proof if facts.covered else None, ahead=facts.ahead and facts.wire_ended
            )
        _raise_early(exchange, facts, alert)
        if exchange.now >= deadline:
            if facts.text or facts.wire_text:
                return Ending(verdict=Verdict.CUT_OFF, signs=("deadline",))
            raise trouble(TroubleKind.DEADLINE, "no reply before the deadline", stage=Stage.ACCEPTED)
        if exchange.now - looked_at >= LIVENESS_SECONDS:
            looked_at = exchange.now
            await check_alive(exchange)
        soon = next_look(facts)
        if facts.text and facts.wire_text and facts.quiet < PROVE_SECONDS:
            soon = min(soon, pause if facts.wire_ended else PROVE_SECONDS - facts.quiet + 0.005)
        await exchange.wait(max(0.005, min(soon, LIVENESS_SECONDS, deadline - exchange.now)))


async def check_alive(exchange: Exchange) -> None:
    """Does the page still answer, and is the in-page script of this exchange still there? Raises Trouble."""
    if not await exchange.page.healthy():
        exchange.page.check()
        silent = exchange.now - exchange.alive_at
        if silent >= FROZEN_SECONDS:
            reason = f"the page has not answered for {silent:.0f} s"
            raise trouble(TroubleKind.PAGE_FROZEN, reason, stage=Stage.ACCEPTED)
        return
    exchange.alive_at = exchange.now
    try:
        await exchange.look()
    except Trouble as failing:
        raise failing.at(Stage.ACCEPTED) from failing


def _alert(exchange: Exchange) -> str:
    """The newest alert or dialog that came up during this exchange and is a failure by its structure."""
    if exchange.report is None:
        return ""
    for alert in reversed(exchange.report.alerts):
        role, _, text = alert.partition("\n")
        if exchange.outgrown(alert):
            continue
        if role.endswith("!") or role in ("alertdialog", "dialog"):
            return text or role
    return ""


def _refused(exchange: Exchange) -> Trouble | None:
    """The request that carried the prompt was answered with an error status: what the page shows is no reply."""
    carriers = exchange.page.outgoing.carriers
    failures = [it for it in exchange.page.capture.activity().http_errors if it.url in carriers]
    return from_http(failures, said_prompt=True)


def _raise_early(exchange: Exchange, facts: Facts, alert: str) -> None:
    """An error that needs no waiting: nothing of a reply is there, nothing is on its way."""
    if facts.quiet >= FAILED_SECONDS:
        refused = _refused(exchange)
        if refused is not None:
            raise refused.at(Stage.ACCEPTED)
    if facts.text or facts.wire_text or facts.wire_open:
        return
    life = min(facts.quiet, facts.wire_quiet if facts.wire_quiet is not None else facts.quiet)
    if life < ALERT_SECONDS:
        return
    errors = exchange.page.capture.activity().http_errors
    failing = from_http(errors, said_prompt=not facts.busy)
    if failing is not None:
        raise failing.at(Stage.ACCEPTED)
    if exchange.report is not None and exchange.report.passwords and not exchange.report.input.present:
        raise trouble(TroubleKind.LOGIN_WALL, "the page asks for a login", stage=Stage.ACCEPTED)
    if alert and not facts.busy:
        raise trouble(TroubleKind.ERROR_DIALOG, alert[:200], stage=Stage.ACCEPTED)
    said = exchange.page.capture.activity().said_failure
    if said:
        raise trouble(
            TroubleKind.ERROR_DIALOG, f"the answer says that it failed: {said}", stage=Stage.ACCEPTED
        )


def _ending(exchange: Exchange, facts: Facts, verdict: Verdict, alert: str) -> Ending:
    signs = tuple(sign.value for sign in signs_of(facts))
    errors = exchange.page.capture.activity().http_errors
    refused = _refused(exchange)
    if refused is not None:
        raise refused.at(Stage.ACCEPTED)
    if verdict in (Verdict.EMPTY, Verdict.SILENT):
        failing = from_http(errors, said_prompt=True)
        if failing is not None:
            raise failing.at(Stage.ACCEPTED)
        if alert:
            raise trouble(TroubleKind.ERROR_DIALOG, alert[:200], stage=Stage.ACCEPTED)
        kind = TroubleKind.EMPTY_REPLY if verdict is Verdict.EMPTY else TroubleKind.NO_REPLY
        what = (
            "the page ended its work without a text"
            if verdict is Verdict.EMPTY
            else "nothing of a reply came"
        )
        raise trouble(kind, what, stage=Stage.ACCEPTED)
    if alert and verdict is not Verdict.CUT_OFF:
        return Ending(verdict=Verdict.CUT_OFF, signs=(*signs, "alert"), alert=alert)
    failure = alert or exchange.page.capture.activity().said_failure
    return Ending(verdict=verdict, signs=signs or ("quiet",), alert=failure)


async def take(exchange: Exchange, ending: Ending, prompt: str) -> Taken:
    """The text of a reply that ended. Raises Trouble when the page has nothing to take."""
    finish = {Verdict.COMPLETE: Finish.COMPLETE, Verdict.UNPROVEN: Finish.UNPROVEN}.get(
        ending.verdict, Finish.CUT_OFF
    )
    proof, live = ending.proof, exchange.page.capture.live_text() or ""
    unheard = exchange.on_wire and not live
    if unheard and proof is not None and finish is Finish.COMPLETE and _is_label(proof.text):
        # A short answer that came in another way, or a name that stands above an empty one.
        finish = Finish.UNPROVEN
    if (
        proof is not None
        and ending.verdict is Verdict.COMPLETE
        and (proof.exact or (exchange.learned_rule and proof.text == live))
    ):  # what the learned rule gave is what the page proves: the page need not be read once more
        return _proved(proof, finish)
    if ending.ahead and live:  # what it has drawn by now proves no more than was known before
        return Taken(
            text=live,
            source=ReplySource.WIRE,
            finish=finish,
            why="the stream ended; the page was still drawing its text",
        )
    element = await exchange.reply_element()
    if element is None:
        if proof is not None:
            return _proved(proof, finish)
        if live and not await exchange.shows_already(live):
            # The page took its message away, or draws it late: what the wire said is kept.
            return Taken(
                text=live,
                source=ReplySource.WIRE,
                finish=Finish.UNPROVEN if finish is Finish.COMPLETE else finish,
                why="the page shows no reply; text by the learned rule",
            )
        raise trouble(TroubleKind.NO_REPLY, "the reply is gone from the page", stage=Stage.ACCEPTED)
    final = await guarded(
        final_text(exchange.frame, element, exchange.page.capture, prompt=prompt, timeout_s=FINAL_SECONDS),
        "take the reply's text",
        FINAL_SECONDS + 4,
    )
    echo = final.text.split() == prompt.split()
    if unheard and final.source is ReplySource.DOM and not echo and _pages_own(exchange, final.text):
        raise trouble(TroubleKind.EMPTY_REPLY, "the reply is empty on the wire", stage=Stage.ACCEPTED)
    ended = bool(exchange.page.capture.activity().reply_ended)
    if final.source is not ReplySource.WIRE and live and ended and shows_beginning(exchange.text, live):
        return Taken(
            text=live,
            source=ReplySource.WIRE,
            finish=finish,
            why="the stream ended; the page was still drawing its text",
        )
    other = final.source is not ReplySource.WIRE or finish is Finish.CUT_OFF
    if other and live and _replaced(live, exchange.text):
        # After a failure many pages put an error text where the reply was (chatlab, completion).
        return Taken(
            text=live,
            source=ReplySource.WIRE,
            finish=Finish.CUT_OFF,
            why="the page no longer shows this reply",
        )
    rule = final.wire.rule if final.wire is not None else None
    return Taken(text=final.text, source=final.source, finish=finish, why=final.why, rule=rule)


def _is_label(text: str) -> bool:
    return len(text.split()) <= _LABEL_WORDS


def _pages_own(exchange: Exchange, shown: str) -> bool:
    """Replies are known to be on the wire and none came there: are these words the page's own (a name, a hint)?"""
    return _is_label(shown) or exchange.rule_stream_ended() or not exchange.page.capture.mentions(shown)


def _proved(proof: WireReply, finish: Finish) -> Taken:
    return Taken(text=proof.text, source=ReplySource.WIRE, finish=finish, why=proof.why, rule=proof.rule)


def _replaced(live: str, shown: str) -> bool:
    """Is what the page shows another text than what came on the wire? (Not merely drawn otherwise.)"""
    wire, page = set(live.lower().split()), set(shown.lower().split())
    return len(wire) >= 3 and len(wire & page) < 0.4 * len(wire)


def shows_beginning(shown: str, wire: str) -> bool:
    """Is what the page shows a beginning of what the wire gave: its words in order, and fewer?

    The last one may have been drawn in part.
    """
    page, whole = re.findall(r"\w+", shown.lower()), re.findall(r"\w+", wire.lower())
    if not page or len(page) >= len(whole):
        return False
    if len(page) < _FEW_WORDS:
        *before, last = page
        return whole[: len(before)] == before and whole[len(before)].startswith(last)
    at = hits = 0
    for word in page:
        ahead = whole[at : at + 30]  # an address of a link is on the wire, not on the page
        if word in ahead:
            at += ahead.index(word) + 1
            hits += 1
    return hits >= 0.97 * len(page)
