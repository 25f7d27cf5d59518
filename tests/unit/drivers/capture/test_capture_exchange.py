"""One exchange on the wire: what of all that was heard is the reply, and nothing else is taken for it."""

from __future__ import annotations

import json

import msgspec
import pytest

from drivers.capture import Connection, Exchange, WireDelta
from drivers.capture.exchange import side_by_side
from drivers.capture.rule import HTTP, StreamRule, of_thoughts
from tests.unit.drivers.capture.bodies import (
    PAGE,
    PROMPT,
    REPLY,
    cut,
    heard,
    openai_chat,
    prefixes,
    replay,
    sse,
)


def test_one_bubble_of_several_whole_messages_is_found() -> None:
    body = json.dumps(
        [{"recipient_id": "u", "text": "Hello, I looked it up."}, {"recipient_id": "u", "text": REPLY}]
    )
    found = heard(body, content_type="application/json").prove(PAGE)
    assert found is not None
    assert found.text == REPLY


def test_two_replies_on_one_stream_are_told_apart_by_their_ids() -> None:
    frames = []
    for at, piece in enumerate(cut(REPLY)):
        frames.append(json.dumps({"id": "m1", "delta": piece}))
        if at < 9:
            frames.append(json.dumps({"id": "t1", "delta": f"title {at} "}))
    found = heard(frames, socket=True).prove(PAGE)
    assert found is not None
    assert found.text == REPLY
    again = heard(frames, socket=True, exchange=Exchange(prompt=PROMPT, rule=found.rule))
    assert again.live_text() == REPLY


def test_a_reply_that_is_json_itself_is_verbatim() -> None:
    reply = '{"ant": 1, "bee": {"wings": 4, "legs": 6}, "wasp": [1, 2, 3]}'
    exchange = heard([json.dumps({"text": p}) for p in prefixes(reply, 9)], socket=True)
    found = exchange.prove('json\nCopy\n{"ant": 1, "bee": {"wings": 4, "legs": 6}, "wasp": [1, 2, 3]}')
    assert found is not None
    assert found.text == reply


def test_events_without_the_blank_after_the_colon_keep_their_blanks() -> None:
    text = "the ant and the bee walk and fly all day long"
    words = [" " + w if at else w for at, w in enumerate(text.split(" "))]
    found = heard("".join(f"data:{w}\n\n" for w in words)).prove(text)
    assert found is not None
    assert found.text == text


def test_the_echoed_prompt_is_never_the_reply() -> None:
    assert heard(json.dumps({"text": PROMPT}), content_type="application/json").prove(PROMPT) is None


@pytest.mark.parametrize(
    "sent",
    [
        "<h2>Ants and bees</h2><p>An <b>ant</b> walks, a bee flies.</p>",
        "## Ants and bees\n\nAn ant walks.",
        "## Ants and bees\n\nAn ant walks, a bee flies. And a wasp stings you badly.",
        "Ants and bees",
    ],
    ids=["html", "cut short", "goes on", "a title"],
)
def test_what_is_not_word_for_word_the_reply_is_not_proved(sent: str) -> None:
    exchange = heard(json.dumps({"text": sent}), content_type="application/json")
    assert exchange.prove("Ants and bees\n\nAn ant walks, a bee flies.") is None


def test_an_empty_exchange_proves_nothing() -> None:
    assert Exchange(prompt=PROMPT).prove(PAGE) is None
    assert heard(openai_chat()).prove("") is None


OTHER = "# A title of it all\n\nThis is what the list of conversations shows, and it is as long as the reply."


def interleaved(first: str, second: str, exchange: Exchange) -> tuple[Connection, Connection]:
    """Two responses of one kind, a piece of each in turn; both still open."""
    both = [
        Connection(url="http://h/api/chat", transport=HTTP, content_type="text/event-stream")
        for _ in range(2)
    ]
    longest = max(len(cut(first)), len(cut(second)))
    for at in range(longest):
        for connection, text in zip(both, (first, second), strict=True):
            for piece in cut(text)[at : at + 1]:
                data = sse({"d": piece}).encode()
                assert exchange.carried(connection, len(data), 1.0)
                exchange.take(connection, connection.body(data), len(data))
    return both[0], both[1]


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("first", [True, False], ids=["reply first", "title first"])
def test_a_reply_beside_another_text_at_the_same_address_is_verbatim(first: bool, learned: bool) -> None:
    rule = (
        StreamRule(url="/api/chat", transport=HTTP, framing="sse", path="$.d", mode="append")
        if learned
        else None
    )
    deltas: list[WireDelta] = []
    exchange = Exchange(prompt=PROMPT, rule=rule, on_delta=deltas.append)
    one, two = interleaved(*((REPLY, OTHER) if first else (OTHER, REPLY)), exchange)
    proof = exchange.prove(PAGE)
    assert proof is not None
    assert proof.text == REPLY
    assert proof.open, "its own response has not ended"
    (two if first else one).ended = True
    again = exchange.prove(PAGE)
    assert again is not None
    assert again.open, "that the other one ended says nothing of it"
    (one if first else two).ended = True
    last = exchange.prove(PAGE)
    assert last is not None
    assert not last.open
    if learned:
        text = ""
        for delta in deltas:
            text = text[: delta.offset] + delta.text
        assert text == REPLY, "what was streamed is put right"


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([], set()),
        ([0, 0, 1, 1, 2], set()),
        ([0, 1, 0], {0, 1}),
        ([0, 1, 0, 2, 3, 2], {0, 1, 2, 3}),
        ([0, 1, 2, 0], {0, 1, 2}),
    ],
)
def test_responses_that_overlap_are_told_from_those_that_follow(
    numbers: list[int], expected: set[int]
) -> None:
    assert side_by_side(numbers) == expected


@pytest.mark.parametrize(
    ("path", "where", "thoughts"),
    [
        ("$.choices[*].delta.reasoning_content", (), True),
        ("$.delta.text", ("$.type=thinking_delta",), True),
        ("$.thought", (), True),
        ("$.parts[*].cot", (), True),
        ("$.choices[*].delta.content", (), False),
        ("$.scotland", ("$.type=text",), False),
    ],
)
def test_thoughts_are_known_by_their_names(path: str, where: tuple[str, ...], thoughts: bool) -> None:
    rule = StreamRule(url="/a", transport=HTTP, framing="sse", path=path, mode="append", where=where)
    assert of_thoughts(rule) is thoughts


def test_thoughts_are_never_the_reply() -> None:
    exchange = heard(sse(*({"reasoning": piece} for piece in cut(REPLY))))
    assert exchange.prove(PAGE) is None
    assert exchange.follow(PAGE) is None


def test_one_piece_of_many_is_no_part_of_its_own() -> None:
    exchange = heard(
        sse(
            *(
                {"d": piece}
                for piece in (
                    "The first words of the reply are these. ",
                    "The middle of the reply is this. ",
                    "End.",
                )
            )
        )
    )
    assert exchange.prove("The middle of the reply is this.", part=True) is None
    assert (
        exchange.prove(
            "The first words of the reply are these. The middle of the reply is this. End.", part=True
        )
        is not None
    )


HTML = (
    "<h2>Ants</h2><p>An <b>ant</b> walks, a b<i>ee</i> flies, and both are home</p><ul><li>Wax<li>Honey</ul>"
)
DRAWN = "Ants\nAn ant walks, a bee flies, and both are home\nWax\nHoney"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (f"<div class=q>{PROMPT}</div><div>{HTML}</div><time>12:40</time>", "text/html; charset=utf-8"),
        (json.dumps({"html": HTML, "id": 7}), "application/json"),
        (sse(*({"html": part} for part in prefixes(HTML, 30))), "text/event-stream"),
        (sse(*({"html": part} for part in cut(HTML))), "text/event-stream"),
    ],
    ids=["document", "in JSON", "growing", "in pieces"],
)
def test_what_the_page_draws_of_html_is_known_to_have_ended(body: str, content_type: str) -> None:
    exchange = heard(body, content_type=content_type)
    assert exchange.drawn(DRAWN)
    assert not exchange.drawn(DRAWN + " And more.")
    assert not exchange.drawn("Ants\nAn ant walks"), "a typewriter has only begun"
    for connection in exchange.connections:
        connection.ended = False
    assert not exchange.drawn(DRAWN)


def test_markdown_is_not_taken_for_html() -> None:
    assert not heard(sse(*cut("Words, and no tags: a > b."))).drawn("Words, and no tags: a > b.")


RULE = StreamRule(url="/api/chat", transport=HTTP, framing="sse", path="$.d", mode="append")


def test_a_failure_counts_until_the_reply_goes_on() -> None:
    exchange = Exchange(prompt=PROMPT, rule=RULE)
    heard(sse({"d": "An ant "}, {"error": {"message": "overloaded"}}), exchange=exchange)
    assert exchange.activity().said_failure == "overloaded"
    heard(sse({"d": "walks."}), exchange=exchange)
    assert not exchange.activity().said_failure


def test_the_turn_of_the_user_is_not_streamed_as_the_reply() -> None:
    rule = msgspec.structs.replace(RULE, path="$.text", mode="snapshot")
    deltas: list[WireDelta] = []
    exchange = Exchange(prompt=PROMPT, rule=rule, on_delta=deltas.append)
    told = Connection(url="http://h/api/chat", transport=HTTP, content_type="text/event-stream")
    exchange.carried(told, 9, 1.0)
    exchange.take(told, told.body(sse({"text": PROMPT}).encode()), 9)
    assert exchange.live_text() is None
    assert deltas == []
    exchange.take(told, told.body(sse({"text": "Te"}, {"text": "Ten ants."}).encode()), 9)
    assert exchange.live_text() == "Ten ants."
    assert replay(deltas) == "Ten ants."


def test_words_that_nobody_sent_are_the_pages_own() -> None:
    exchange = heard(sse(*({"d": piece} for piece in cut(REPLY))))
    assert exchange.mentions("An ant walks, a bee flies")
    assert not exchange.mentions("Models can make mistakes. Check what matters.")
