"""However a body is cut into pieces, the same messages come out; and every buffer has an end."""

from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from drivers.capture import Connection, Exchange
from drivers.capture.candidates import MAX_CHARS, SOFT_CHARS, Track
from drivers.capture.connection import MAX_STREAM_BYTES
from drivers.capture.framing import BodyFraming, JsonScanner, Message, SseParser
from drivers.capture.live import change
from drivers.capture.packets import SocketFraming, engine_payload
from drivers.capture.rule import HTTP, url_pattern

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_objects = st.dictionaries(st.text(max_size=6), _values, max_size=4)


def fed(framing: BodyFraming, text: str, cuts: list[int]) -> list[object]:
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    out: list[Message] = []
    for start, end in itertools.pairwise(edges):
        out += framing.feed(text[start:end])
    return [message.value for message in out + framing.feed("", final=True) if message.event != "#body"]


@given(st.lists(_objects, min_size=1, max_size=5), st.lists(st.integers(0, 5000), max_size=12), st.booleans())
def test_json_values_are_found_however_they_are_cut(
    values: list[object], cuts: list[int], indented: bool
) -> None:
    text = "\n".join(json.dumps(v, indent=2 if indented else None, ensure_ascii=False) for v in values)
    assert fed(BodyFraming("application/json"), text, cuts) == values


@given(st.lists(_objects.filter(bool), min_size=1, max_size=5), st.lists(st.integers(0, 5000), max_size=12))
def test_items_of_an_array_come_one_by_one(values: list[object], cuts: list[int]) -> None:
    assert fed(BodyFraming("application/json"), json.dumps(values, indent=1), cuts) == values


@given(
    st.lists(_objects.filter(bool), min_size=1, max_size=5),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 5000), max_size=12),
)
def test_events_are_found_with_every_line_end(values: list[object], end: str, cuts: list[int]) -> None:
    text = "".join(f": ping{end}id: 1{end}data: {json.dumps(v)}{end}{end}" for v in values)
    assert fed(BodyFraming("text/event-stream"), text, cuts) == values


def test_data_of_several_lines_is_joined_and_names_are_kept() -> None:
    parser = SseParser()
    assert parser.feed("event: note\ndata: one\ndata: two\n\n") == [Message("one\ntwo", "note", " one\n two")]
    assert parser.feed('data: {"a": 1}\ndata: {"a": 2}\n\n') == [Message({"a": 1}), Message({"a": 2})]
    assert parser.feed("data: [DONE]\n\n") == []


def test_an_array_of_arrays_stays_whole() -> None:
    assert JsonScanner().feed('[["a", 1], ["b"]]') == [[["a", 1], ["b"]]]


def test_markdown_that_looks_like_json_is_text() -> None:
    for text in (
        "[link](https://e.org) and so on, a sentence.",
        "{curly} braces\nin a text",
        "12 monkeys [are] here",
    ):
        framing = BodyFraming("text/plain")
        out = [
            m.value for m in (*framing.feed(text[:5]), *framing.feed(text[5:]), *framing.feed("", final=True))
        ]
        assert "".join(str(v) for v in out if isinstance(v, str)).endswith(text)


def test_engine_packets() -> None:
    framing = SocketFraming("ws://h/socket.io/?EIO=4")
    assert framing.text('42/room,17["token",{"t":"a"}]') == [Message({"t": "a"}, "token")]
    assert framing.text('0{"sid":"x","pingInterval":25000}') == []
    assert framing.text("2") == framing.text("40") == framing.text('40{"sid":"x"}') == []
    assert engine_payload('2\x1e42["token","a"]\x1e42["token","b"]') == [
        Message("a", "token"),
        Message("b", "token"),
    ]
    assert engine_payload('13:42["token",1]2:40') == [Message(1, "token")]


def test_addresses_lose_origin_query_and_ids() -> None:
    assert (
        url_pattern("https://h:1/api/chat/5f0c7a2e-1111-2222-3333-444455556666/messages?x=1#y")
        == "/api/chat/*/messages"
    )
    assert url_pattern("ws://h/ws/123") == "/ws/*"
    assert url_pattern("https://h") == "/"


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_change_turns_the_old_text_into_the_new(old: str, new: str) -> None:
    delta = change(old, new)
    assert (new if delta is None else old[: delta.offset] + delta.text) == new
    assert delta is not None or old == new
    assert delta is None or delta.rewrite or delta.offset == len(old)


def test_growing_snapshots_are_not_hoarded() -> None:
    track, text = Track(), ""
    while track.chars <= SOFT_CHARS + 5000:
        text += "some words " * 20
        track.add(text, 0, 1)
    assert track.pieces == []
    assert track.last == text


def test_pieces_beyond_the_bound_are_dropped_and_then_prove_nothing_as_a_whole() -> None:
    track = Track()
    for at in range(MAX_CHARS // 100_000 + 2):
        track.add(f"{at} " + "x" * 100_000, 0, 1)
    assert track.dropped
    assert track.pieces == []


def test_a_stream_beyond_its_bound_is_refused_and_named() -> None:
    exchange = Exchange(prompt="p")
    connection = Connection(url="http://h/flood", transport=HTTP)
    assert exchange.carried(connection, MAX_STREAM_BYTES, 1.0)
    assert not exchange.carried(connection, 1, 2.0)
    assert "/flood" in exchange.activity().overflowed[0]
