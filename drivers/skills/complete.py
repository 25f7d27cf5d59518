"""When a reply has ended: several signs fused into one verdict. Pure; time is a parameter.

No single sign is trusted at once. A network stream may end long before a typewriter has shown it, a socket never
ends, a stop button may stand elsewhere, a fast reply may never be seen running. Two independent signs settle it
quickly, one settles it after a while, none only after a long quiet, and then the end counts as unproven.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

TWO_SIGNS_SECONDS = 0.3
ONE_SIGN_SECONDS = 1.0
COVERED_SECONDS = 0.15
"""The stream ended and the page shows every word of it. No wait at all where the page itself says so in two ways."""
FAILED_SECONDS = 0.5
EMPTY_SECONDS = 4.0
"""Signs of an end without any text: how long until the reply is taken for empty."""
UNCOVERED_SECONDS = 2.5
"""The page's signs say ended, but the wire carried more than is shown: a typewriter that pauses, or another text."""
AHEAD_SECONDS = 2.0
"""The stream ended this long ago and the page is still drawing its text: the text is known, no need to watch."""
LATE_SECONDS = 8.0
"""How long a page may take to draw what the wire already gave in full."""
INDICATOR_SECONDS = 2.0
"""A typing indicator that went away is a weak sign: some come and go while a reply pauses."""
SPINNING_PATIENCE = 2.0
"""While something new is in endless motion, a quiet must be so many times as long to count."""
OPEN_SECONDS = 4.0
"""A stream that stays open is overruled by the page's own signs after this quiet, …"""
ENDING_SECONDS = 30.0
"""… or after this one, where such streams were seen to end with their replies: a reply may pause long."""
HUNG_UP_SECONDS = 6.0
"""A page may open its socket again and get the rest of the reply within this time."""
UNHEARD_SECONDS = 90.0
"""Where replies are known to be on the wire and none came, what the page shows is its own ("Thinking…")."""
SIGN_PATIENCE = 2.0
"""Where the page is known to give a sign at the end, a quiet without one must be so many times as long to count."""


class Sign(StrEnum):
    """Evidence that a reply is complete."""

    STREAM_ENDED = "stream_ended"
    CONTROLS_BACK = "controls_back"
    INPUT_BACK = "input_back"
    ACTIONS = "actions"
    COVERED = "covered"
    SAID_END = "said_end"
    CARRIER_ENDED = "carrier_ended"
    DRAWN = "drawn"
    INDICATOR_GONE = "indicator_gone"
    QUIET = "quiet"


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known at one moment. Times in seconds."""

    since_submit: float
    quiet: float
    """Since the reply's text last changed on the page, or since the submission."""
    text: bool
    """The page shows text of a reply."""
    busy: bool = False
    """A control or attribute that is only there while a reply is made is there now."""
    controls_back: bool = False
    """The controls were other than in the idle page, and are as there again."""
    input_disabled: bool = False
    input_back: bool = False
    """The input was disabled or gone after the submission, and can be used again."""
    actions: bool = False
    """Controls of the reply appeared that were not there while its text grew."""
    learned: bool = False
    """Where the reply is on the wire was proved by an earlier exchange: this one is not the one that teaches."""
    toolbar: bool = False
    """The turn got controls together with its last words: a sign only where the wire says the same."""
    spinning: bool = False
    """Something is in endless motion that was not before the submission: a hint that it goes on, no more."""
    indicator_gone: bool = False
    """A text or motion that stood beside the growing reply is gone."""
    said_end: bool = False
    """A socket stays open, but its protocol said that the reply is over."""
    carrier_ended: bool = False
    """The reply is not known on the wire, but the answer to the request that carried the prompt came in pieces
    while the text grew, and has ended."""
    drawn: bool = False
    """A response that has ended gave, as HTML, all that the page shows of the reply."""
    wire_text: bool = False
    wire_quiet: float | None = None
    """Since the reply last grew on the wire, or, where it is not known there, since a streamed byte; None: never."""
    wire_ended: bool = False
    """The stream that carries the reply ended cleanly."""
    wire_open: bool = False
    """The response that carries the reply is still open, also where all of it came in one piece so far."""
    wire_ends: bool = False
    """In an earlier exchange the response ended together with its reply."""
    wire_failed: bool = False
    """The response broke off, or said that it failed."""
    hung_up: bool = False
    """The socket that carries the reply closed, and sockets of this page are known to stay open."""
    carrier_open: bool = False
    """The request that carried the prompt is not answered in full, where such requests are, and it is not known
    where on the wire the reply is."""
    on_wire: bool = False
    """The reply must come on the wire: it is known where, and it does not come with a document."""
    gives_sign: bool = False
    """In an earlier exchange the page gave a sign of the end."""
    covered: bool = False
    """The reply's text on the wire is proved by what the page shows."""
    ahead: bool = False
    """What the page shows is the beginning of what the wire gave: it is still being drawn."""
    quiet_needed: float = 5.0
    stall: float = 120.0
    first_sign: float = 180.0


class Verdict(StrEnum):
    WAIT = "wait"
    COMPLETE = "complete"
    UNPROVEN = "unproven"
    CUT_OFF = "cut_off"
    EMPTY = "empty"
    SILENT = "silent"
    """Nothing of a reply ever came."""


def signs_of(facts: Facts) -> tuple[Sign, ...]:
    """The independent signs of an end that are seen now."""
    seen = (
        (Sign.STREAM_ENDED, facts.wire_ended),
        (Sign.CONTROLS_BACK, facts.controls_back),
        (Sign.INPUT_BACK, facts.input_back and not facts.input_disabled),
        (Sign.ACTIONS, facts.actions),
        (Sign.SAID_END, facts.said_end),
        (Sign.CARRIER_ENDED, facts.carrier_ended),
        (Sign.DRAWN, facts.drawn),
        (Sign.INDICATOR_GONE, facts.indicator_gone),
        (Sign.COVERED, facts.covered and facts.wire_ended),
    )
    return tuple(sign for sign, there in seen if there)


def decide(facts: Facts) -> Verdict:
    """Has the reply ended, and how well is that proved?"""
    life = min(facts.quiet, facts.wire_quiet if facts.wire_quiet is not None else facts.quiet)
    if facts.wire_failed and (facts.text or facts.wire_text):
        return Verdict.CUT_OFF if facts.quiet >= FAILED_SECONDS else Verdict.WAIT
    if life >= facts.stall and (facts.text or facts.wire_text):
        return Verdict.CUT_OFF
    signs = signs_of(facts)
    if not facts.text:
        if facts.wire_text and facts.wire_ended and life >= LATE_SECONDS and not facts.busy:
            return Verdict.UNPROVEN
        ended = facts.wire_ended or facts.controls_back or facts.input_back
        if ended and not facts.busy and not facts.wire_open and not facts.wire_text and life >= EMPTY_SECONDS:
            return Verdict.EMPTY
        return Verdict.SILENT if life >= facts.first_sign else Verdict.WAIT
    if facts.covered and facts.wire_ended and facts.quiet >= ONE_SIGN_SECONDS:
        return Verdict.COMPLETE  # even where a decoration of the page says busy for ever
    if (
        facts.ahead
        and facts.wire_ended
        and not facts.wire_open
        and (facts.wire_quiet or 0.0) >= AHEAD_SECONDS
    ):
        return Verdict.COMPLETE
    if facts.busy or facts.input_disabled:
        return Verdict.WAIT
    if facts.hung_up:
        return Verdict.CUT_OFF if life >= HUNG_UP_SECONDS else Verdict.WAIT
    if _unheard(facts) or facts.carrier_open:
        return Verdict.COMPLETE if signs and life >= ENDING_SECONDS else _by_quiet(facts, life)
    if facts.wire_open:
        page_says = len([sign for sign in signs if sign is not Sign.STREAM_ENDED])
        patience = ENDING_SECONDS if facts.wire_ends else OPEN_SECONDS
        return Verdict.COMPLETE if page_says >= 1 and life >= patience else Verdict.WAIT
    if facts.covered and facts.wire_ended:
        of_page = {Sign.CONTROLS_BACK, Sign.INPUT_BACK, Sign.ACTIONS} & set(signs)
        said_twice = len(of_page) + (facts.toolbar and not facts.actions) >= 2
        if (facts.learned and said_twice) or facts.quiet >= COVERED_SECONDS:
            return Verdict.COMPLETE
    if facts.wire_text and not facts.covered:
        return Verdict.COMPLETE if signs and life >= UNCOVERED_SECONDS else _by_quiet(facts, life)
    if len(signs) >= 2 and life >= TWO_SIGNS_SECONDS:
        return Verdict.COMPLETE
    if len(signs) == 1 and life >= (INDICATOR_SECONDS if facts.indicator_gone else ONE_SIGN_SECONDS):
        return Verdict.COMPLETE
    return _by_quiet(facts, life)


def _unheard(facts: Facts) -> bool:
    """The reply must come on the wire, and nothing there is what the page shows."""
    heard = facts.wire_text or facts.covered or facts.wire_ended or facts.carrier_ended or facts.drawn
    return facts.on_wire and not heard


def _by_quiet(facts: Facts, life: float) -> Verdict:
    needed = facts.quiet_needed * (SPINNING_PATIENCE if facts.spinning else 1.0)
    if facts.gives_sign:
        needed = max(needed, SIGN_PATIENCE * facts.quiet_needed)
    if facts.carrier_open:
        needed = max(needed, ENDING_SECONDS)
    if _unheard(facts):
        needed = max(needed, UNHEARD_SECONDS)
    return Verdict.UNPROVEN if life >= needed else Verdict.WAIT


def next_look(facts: Facts) -> float:
    """In how many seconds the verdict can change by the mere passing of time."""
    life = min(facts.quiet, facts.wire_quiet if facts.wire_quiet is not None else facts.quiet)
    marks = (
        COVERED_SECONDS,
        TWO_SIGNS_SECONDS,
        FAILED_SECONDS,
        ONE_SIGN_SECONDS,
        OPEN_SECONDS,
        ENDING_SECONDS,
        UNCOVERED_SECONDS,
        AHEAD_SECONDS,
        EMPTY_SECONDS,
        INDICATOR_SECONDS,
        facts.quiet_needed,
        facts.quiet_needed * SPINNING_PATIENCE,
        facts.quiet_needed * SIGN_PATIENCE,
        HUNG_UP_SECONDS,
        UNHEARD_SECONDS,
        LATE_SECONDS,
        facts.stall,
        facts.first_sign,
    )
    waits = [
        mark - age for mark in marks for age in (life, facts.quiet, facts.wire_quiet or 0.0) if mark > age
    ]
    return max(0.01, min(waits, default=1.0))
