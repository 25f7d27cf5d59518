"""Replies of many kinds of back ends: each is found, proved and followed the next time by the rule it gave."""

from __future__ import annotations

import json

import msgspec
import pytest

from drivers.capture import Connection, Exchange, WireDelta
from drivers.capture.rule import HTTP
from tests.unit.drivers.capture.bodies import (
    BODIES,
    FRAMES,
    PAGE,
    PROMPT,
    REPLY,
    anthropic,
    cut,
    heard,
    prefixes,
    replay,
    token_frames_with_the_first_apart,
)


@pytest.mark.parametrize("name", BODIES)
def test_the_reply_of_a_response_is_proved_verbatim(name: str) -> None:
    body, content_type, mode, path = BODIES[name]
    found = heard(body, content_type=content_type).prove(PAGE)
    assert found is not None
    assert found.text == REPLY
    assert (found.rule.mode, found.rule.path) == (mode, path)


@pytest.mark.parametrize("name", BODIES)
def test_the_rule_of_one_exchange_streams_the_next(name: str) -> None:
    body, content_type, _, _ = BODIES[name]
    proved = heard(body, content_type=content_type).prove(PAGE)
    assert proved is not None
    deltas: list[WireDelta] = []
    again = heard(
        body,
        content_type=content_type,
        exchange=Exchange(prompt=PROMPT, rule=proved.rule, on_delta=deltas.append),
    )
    assert again.live_text() == REPLY
    assert replay(deltas) == REPLY


@pytest.mark.parametrize("name", FRAMES)
def test_the_reply_of_a_socket_is_proved_verbatim_and_streams_the_next_time(name: str) -> None:
    frames = FRAMES[name]
    proved = heard(frames, socket=True).prove(PAGE)
    assert proved is not None
    assert proved.text == REPLY
    deltas: list[WireDelta] = []
    again = heard(
        frames, socket=True, exchange=Exchange(prompt=PROMPT, rule=proved.rule, on_delta=deltas.append)
    )
    assert again.live_text() == REPLY
    assert replay(deltas) == REPLY
    if len(frames) > 5:
        assert len(deltas) > 3


def test_polls_that_bring_pieces_are_one_stream() -> None:
    exchange = Exchange(prompt=PROMPT)
    for at, piece in enumerate(cut(REPLY, 30)):
        heard(
            json.dumps({"next": at, "text": piece}),
            content_type="application/json",
            url=f"http://h/poll/{at}?w={at}",
            exchange=exchange,
        )
    found = exchange.prove(PAGE)
    assert found is not None
    assert (found.text, found.rule.mode, found.rule.url) == (REPLY, "append", "/poll/*")


def test_polls_that_bring_the_whole_so_far_are_one_stream() -> None:
    exchange = Exchange(prompt=PROMPT)
    for text in prefixes(REPLY):
        messages = [
            {"id": 1, "from": {"role": "user"}, "text": PROMPT},
            {"id": 2, "from": {"role": "bot"}, "text": text},
        ]
        heard(json.dumps({"activities": messages}), content_type="application/json", exchange=exchange)
    found = exchange.prove(PAGE)
    assert found is not None
    assert (found.text, found.rule.mode) == (REPLY, "snapshot")


@pytest.mark.parametrize("name", ["openai chat", "anthropic", "patched document", "gemini web", "ai sdk"])
def test_follow_finds_the_growing_reply_while_the_page_shows_its_beginning(name: str) -> None:
    body, content_type, _, _ = BODIES[name]
    deltas: list[WireDelta] = []
    exchange = Exchange(prompt=PROMPT, on_delta=deltas.append)
    connection = Connection(url="http://h/api/chat", transport=HTTP, content_type=content_type)
    data = body.encode()
    half = len(data) * 2 // 3
    for part in (data[:half], data[half:]):
        exchange.carried(connection, len(part), 1.0)
        exchange.take(connection, connection.body(part), len(part))
        if part == data[:half]:
            assert exchange.follow("Ants and bees\nAn ant walks, a bee fl") is not None
            assert deltas
    exchange.take(connection, connection.body(b"", final=True), 0)
    assert exchange.live_text() == REPLY
    assert replay(deltas) == REPLY


def test_follow_finds_tokens_whose_first_piece_travelled_apart() -> None:
    frames = token_frames_with_the_first_apart()
    exchange = heard(frames[:8], socket=True)
    rule = exchange.follow("Ants and bees\nAn ant")
    assert rule is not None
    assert (rule.path, rule.seed) == ("$.token", "$.output")


def test_first_pieces_that_fit_everywhere_do_not_multiply() -> None:
    frames = [
        json.dumps({"kind": "start", "text": "An"}),
        *(json.dumps({"t": p, "u": p}) for p in cut(REPLY)),
    ]
    found = heard(frames, socket=True).prove("An " + PAGE)
    assert found is None or found.text != REPLY


def test_a_rule_survives_its_recipe() -> None:
    found = heard(anthropic()).prove(PAGE)
    assert found is not None
    assert msgspec.convert(msgspec.to_builtins(found.rule), type(found.rule)) == found.rule
