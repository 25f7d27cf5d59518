"""What may be the reply: not what it was while it still grew."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.capture import Exchange
from drivers.capture.candidates import earlier_states, goes_on_from
from drivers.capture.rule import StreamRule
from tests.unit.drivers.capture.bodies import PAGE, PROMPT, REPLY, cut, heard, prefixes, sse

CONVERSATION = [
    json.dumps({"turns": [{"by": "me", "text": PROMPT}, {"by": "bot", "text": text}]})
    for text in prefixes(REPLY, 10)
]
STALE = "Ants and bees\nAn ant walks, a bee flies; see hive() and"
"""What a page shows that has not drawn the last states of REPLY yet."""


@pytest.mark.parametrize("learned", [False, True])
def test_what_a_page_still_shows_of_an_earlier_state_is_not_proved_to_be_the_reply(learned: bool) -> None:
    rule = StreamRule(
        url="/api/chat", transport="http", framing="ndjson", path="$.turns[-1].text", mode="snapshot"
    )
    exchange = heard(
        "\n".join(CONVERSATION) + "\n",
        content_type="application/x-ndjson",
        exchange=Exchange(prompt=PROMPT, rule=rule if learned else None),
    )
    assert exchange.prove(STALE) is None
    for text in prefixes(PAGE, 1):
        proof = exchange.prove(text)
        assert proof is None or (proof.text, proof.outgrown) == (REPLY, False), text


def test_polls_that_bring_the_whole_so_far_do_not_prove_an_earlier_one() -> None:
    exchange = Exchange(prompt=PROMPT)
    for text in prefixes(REPLY, 10):
        heard(json.dumps({"text": text}), content_type="application/json", exchange=exchange)
    assert exchange.prove(STALE) is None


def test_html_that_grew_on_draws_nothing() -> None:
    words = [f"word{at}" for at in range(40)]
    grown = [f"<div><p>{' '.join(words[:at])}</p></div>" for at in range(10, 41)]
    exchange = heard(sse(*({"html": html} for html in grown)))
    assert exchange.drawn(" ".join(words))
    assert not exchange.drawn(" ".join(words[:20]))


def test_a_proof_that_a_longer_text_begins_with_says_so() -> None:
    """The pieces of one kind alone are proved; all together go on: more of them may yet be drawn."""
    pieces = [{"kind": "answer", "text": piece} for piece in cut(REPLY)]
    more = [{"kind": "idea", "text": piece} for piece in cut("Ask me more. Or ask of wasps.")]
    proof = heard(sse(*pieces, *more)).prove(PAGE)
    assert proof is not None
    assert (proof.text, proof.outgrown) == (REPLY, True)


@pytest.mark.parametrize(
    ("states", "final"),
    [
        (["An ant", "An ant walks", "An ant walks on"], "An ant walks on"),
        (["An ant walks ▌", "An ant walks on ▌", "An ant walks on"], "An ant walks on ▌"),
        (["An ant **walks**", "An ant **walks on** and on"], "An ant **walks on** and on"),
        (["<p>An ant</p>", "<p>An ant walks</p>"], "<p>An ant walks</p>"),
    ],
    ids=["plain", "caret", "repaired", "html"],
)
def test_of_a_text_that_grew_only_the_last_state_is_left(states: list[str], final: str) -> None:
    assert earlier_states(states) >= set(states[:-1]) - {final}
    assert final not in earlier_states(states)


def test_different_texts_are_no_states_of_each_other() -> None:
    assert earlier_states(["A title", "Ants walk.", "Bees fly, and ants walk."]) == set()


@given(st.lists(st.text(alphabet="ab</p> ", max_size=30), max_size=12))
def test_states_are_those_that_one_of_all_goes_on_from(values: list[str]) -> None:
    assert earlier_states(values) == {v for v in values if any(goes_on_from(other, v) for other in values)}
