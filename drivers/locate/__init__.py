"""Where the input, the send control and the reply are: scores over what a page shows. Pure; no page is called."""

from drivers.locate.score import input_score, rank_inputs, rank_launchers, rank_sends, send_score
from drivers.locate.snapshot import Candidate, PageSnapshot
from drivers.locate.stable import Step, locators_for, reply_locators_for

__all__ = (
    "Candidate",
    "PageSnapshot",
    "Step",
    "input_score",
    "locators_for",
    "rank_inputs",
    "rank_launchers",
    "rank_sends",
    "reply_locators_for",
    "send_score",
)
