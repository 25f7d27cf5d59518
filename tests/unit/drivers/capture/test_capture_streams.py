"""Replies of many kinds of back ends: each is found, proved and followed, and nothing else is taken for it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest

from drivers.capture import Connection, Exchange, WireDelta
from drivers.capture.exchange import side_by_side
from drivers.capture.rule import HTTP, WEBSOCKET, StreamRule, of_thoughts

PROMPT = "Tell me about the ant and the bee"
REPLY = (
    "## Ants and bees\n\nAn **ant** walks, a *bee* flies; see `hive()` and [this](https://e.org/x?a=1).\n\n"
    "1. First, the ant — naïve 漢字 😀\n2. Then the bee\n   - with honey\n\n"
    "```python\ndef hive():\n    return 7\n```\n\n"
    "That is all.\n"
)
PAGE = (
    "Ants and bees\nAn ant walks, a bee flies; see hive() and this.\n\nFirst, the ant — naïve 漢字 😀\nThen the bee\n"
    "with honey\npython\nCopy\ndef hive():\n    return 7\nThat is all."
)


def cut(text: str, size: int = 7) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def prefixes(text: str, size: int = 25) -> list[str]:
    return [text[:at] for at in range(size, len(text), size)] + [text]


def sse(*values: Any, event: Callable[[Any], str] | None = None) -> str:
    return "".join(
        (f"event: {event(v)}\n" if event else "")
        + "data: "
        + (v if isinstance(v, str) else json.dumps(v))
        + "\n\n"
        for v in values
    )


def heard(
    body: str | bytes | Iterable[str | bytes],
    *,
    content_type: str = "text/event-stream",
    url: str = "http://h/api/chat",
    socket: bool = False,
    step: int = 11,
    exchange: Exchange | None = None,
) -> Exchange:
    """An exchange that has received a body in pieces of ``step`` bytes, or the frames of a socket."""
    exchange = exchange or Exchange(prompt=PROMPT)
    connection = Connection(url=url, transport=WEBSOCKET if socket else HTTP, content_type=content_type)
    if socket:
        assert not isinstance(body, str | bytes), "the frames of a socket, one by one"
        for frame in body:
            assert exchange.carried(connection, len(frame), 1.0)
            exchange.take(connection, connection.frame(frame), len(frame))
        return exchange
    data = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else b""
    for at in range(0, len(data), step):
        piece = data[at : at + step]
        assert exchange.carried(connection, len(piece), 1.0)
        exchange.take(connection, connection.body(piece), len(piece))
    exchange.take(connection, connection.body(b"", final=True), 0)
    connection.ended = True
    return exchange


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def openai_chat() -> str:
    parts: list[Any] = [
        {"id": "c1", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
    ]
    parts += [{"id": "c1", "choices": [{"index": 0, "delta": {"content": p}}]} for p in cut(REPLY)]
    return sse(
        *parts, {"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, "[DONE]"
    )


def openai_responses() -> str:
    parts: list[Any] = [{"type": "response.created", "response": {"id": "r_1"}}]
    parts += [
        {"type": "response.reasoning_summary_text.delta", "delta": p} for p in cut("Let me think about ants.")
    ]
    parts += [{"type": "response.output_text.delta", "item_id": "m", "delta": p} for p in cut(REPLY)]
    return sse(*parts, event=lambda v: str(v["type"]))


def anthropic() -> str:
    parts: list[Any] = [
        {"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "content": []}}
    ]
    parts += [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": p}}
        for p in cut("The user wants ants.")
    ]
    parts += [
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": p}}
        for p in cut(REPLY)
    ]
    return sse(*parts, {"type": "message_stop"}, event=lambda v: str(v["type"]))


def patched_document() -> str:
    first, second, *rest = cut(REPLY)
    message = {
        "id": "a1",
        "author": {"role": "assistant"},
        "content": {"content_type": "text", "parts": [""]},
    }
    user = {"id": "u1", "author": {"role": "user"}, "content": {"content_type": "text", "parts": [PROMPT]}}
    parts: list[Any] = [
        "v1",
        {"p": "", "o": "add", "v": {"message": user, "conversation_id": "x"}, "c": 0},
        {"p": "", "o": "add", "v": {"message": message, "conversation_id": "x"}, "c": 1},
        {"p": "/message/content/parts/0", "o": "append", "v": first},
        {"v": second},
        *({"v": p} for p in rest[:-1]),
        {
            "p": "",
            "o": "patch",
            "v": [
                {"p": "/message/content/parts/0", "o": "append", "v": rest[-1]},
                {"p": "/message/status", "o": "replace", "v": "finished_successfully"},
            ],
        },
        {"type": "title_generation", "title": "Ants and bees"},
    ]
    return sse(*parts, event=lambda v: "delta")


def operations_in_lists() -> str:
    history = [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": ""}]
    parts: list[Any] = [{"msg": "estimation", "event_id": "e"}]
    parts += [{"msg": "process_generating", "event_id": "e", "output": {"data": [history, None]}}]
    parts += [
        {
            "msg": "process_generating",
            "event_id": "e",
            "output": {"data": [[["append", [1, "content"], p]], []]},
        }
        for p in cut(REPLY)
    ]
    return sse(*parts)


def gemini_web() -> str:
    out = ")]}'\n\n"
    for text in prefixes(REPLY):
        inner = json.dumps(
            [None, ["c_1", "r_1"], None, None, [["rc_1", [text], None, [1]]]], ensure_ascii=False
        )
        line = json.dumps([["wrb.fr", None, inner]], ensure_ascii=False)
        out += f"{len(line) + 1}\n{line}\n"
    return out


def gemini_api() -> str:
    items = [{"candidates": [{"content": {"role": "model", "parts": [{"text": p}]}}]} for p in cut(REPLY, 40)]
    thought = {
        "candidates": [
            {"content": {"role": "model", "parts": [{"text": "Thinking of ants", "thought": True}]}}
        ]
    }
    return json.dumps([thought, *items], indent=2)


def ollama() -> str:
    lines = [
        {"model": "m", "message": {"role": "assistant", "content": p}, "done": False} for p in cut(REPLY)
    ]
    return "".join(json.dumps(line) + "\n" for line in [*lines, {"model": "m", "done": True}])


def chat_ui() -> str:
    lines: list[Any] = [{"type": "status", "status": "started"}, {"type": "title", "title": "Ants and bees"}]
    lines += [{"type": "stream", "token": p.ljust(16, "\0")} for p in cut(REPLY)]
    return "".join(json.dumps(line) + "\n" for line in lines)


def tagged() -> str:
    return (
        'f:{"messageId":"m1"}\n'
        + "".join(f"0:{json.dumps(p)}\n" for p in cut(REPLY))
        + 'd:{"finishReason":"stop"}\n'
    )


def ai_sdk() -> str:
    parts: list[Any] = [{"type": "start"}, {"type": "reasoning-delta", "id": "0", "delta": "Ants, hm."}]
    parts += [{"type": "text-delta", "id": "1", "delta": p} for p in cut(REPLY)]
    return sse(*parts, {"type": "finish"}, "[DONE]")


def librechat() -> str:
    parts: list[Any] = [{"created": True, "message": {"text": PROMPT, "isCreatedByUser": True}}]
    parts += [
        {
            "event": "on_message_delta",
            "data": {"id": "s", "delta": {"content": [{"type": "text", "text": p}]}},
        }
        for p in cut(REPLY)
    ]
    final = {"messageId": "m", "isCreatedByUser": False, "content": [{"type": "text", "text": REPLY}]}
    return sse(*parts, {"final": True, "requestMessage": {"text": PROMPT}, "responseMessage": final})


def json_patch_log() -> str:
    parts: list[Any] = [
        {"ops": [{"op": "replace", "path": "", "value": {"streamed_output": [], "final_output": None}}]}
    ]
    parts += [{"ops": [{"op": "add", "path": "/streamed_output/-", "value": p}]} for p in cut(REPLY)]
    return sse(*parts)


def history_snapshots() -> str:
    old = [
        {"role": "user", "content": "Older"},
        {"role": "assistant", "content": "An older answer about wasps."},
    ]
    lines = [
        {"messages": [*old, {"role": "user", "content": PROMPT}, {"role": "assistant", "content": p}]}
        for p in prefixes(REPLY)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


BODIES: dict[str, tuple[str, str, str, str]] = {
    "openai chat": (openai_chat(), "text/event-stream", "append", "$.choices[*].delta.content"),
    "openai responses": (openai_responses(), "text/event-stream", "append", "$.delta"),
    "anthropic": (anthropic(), "text/event-stream", "append", "$.delta.text"),
    "patched document": (patched_document(), "text/event-stream", "patch", "$~.message.content.parts[-1]"),
    "operations in lists": (
        operations_in_lists(),
        "text/event-stream",
        "patch",
        "$.output.data[0]~[-1].content",
    ),
    "gemini web": (gemini_web(), "application/json", "snapshot", "$[-1][2]@[4][0][1][0]"),
    "gemini api": (gemini_api(), "application/json", "append", "$.candidates[*].content.parts[*].text"),
    "ollama": (ollama(), "application/x-ndjson", "append", "$.message.content"),
    "chat-ui": (chat_ui(), "application/jsonl", "append", "$.token"),
    "tagged lines": (tagged(), "text/plain", "append", "$"),
    "ai sdk": (ai_sdk(), "text/event-stream", "append", "$.delta"),
    "librechat": (librechat(), "text/event-stream", "append", "$.data.delta.content[*].text"),
    "json patch log": (json_patch_log(), "text/event-stream", "append", "$.ops~.streamed_output[*]"),
    "history snapshots": (history_snapshots(), "application/x-ndjson", "snapshot", "$.messages[-1].content"),
    "plain text": (REPLY, "text/plain; charset=utf-8", "append", "$"),
    "plain text called html": (REPLY, "text/html", "append", "$"),
    "plain text called events": (REPLY, "text/event-stream", "append", "$"),
    "whole json": (
        json.dumps({"id": "1", "reply": {"text": REPLY}}),
        "application/json",
        "whole",
        "$.reply.text",
    ),
    "json in a string": (
        json.dumps({"statusCode": 200, "body": json.dumps({"answer": REPLY})}),
        "application/json",
        "whole",
        "$.body@.answer",
    ),
    "json strings as events": (sse(*(json.dumps(p) for p in cut(REPLY))), "text/event-stream", "append", "$"),
    "protobuf in base64": (
        sse(*(base64.b64encode(field(2, field(1, p))).decode() for p in prefixes(REPLY))),
        "text/event-stream",
        "snapshot",
        "$@.m2[-1].f1[0]",
    ),
    "escaped text events": (
        sse(*(p.replace("\n", "\\n") for p in cut(REPLY))),
        "text/event-stream",
        "append",
        "$",
    ),
}


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


def replay(deltas: Iterable[WireDelta]) -> str:
    text = ""
    for delta in deltas:
        assert delta.rewrite or delta.offset == len(text), "a delta that appends begins where the text ends"
        text = text[: delta.offset] + delta.text
    return text


def socketio(name: str, payload: Any) -> str:
    return "42" + json.dumps([name, payload])


def web_ui_frames() -> list[str]:
    def wrap(content: str) -> dict[str, Any]:
        return {"chat_id": "c", "data": {"type": "chat:completion", "data": {"content": content}}}

    return ["2", *(socketio("events", wrap(p)) for p in prefixes(REPLY)), "3"]


def token_frames_with_the_first_apart() -> list[str]:
    first, *rest = cut(REPLY, 12)
    return [
        socketio("first_interaction", {"interaction": PROMPT}),
        socketio("new_message", {"id": "u", "type": "user_message", "output": PROMPT}),
        socketio("stream_start", {"id": "s", "type": "assistant_message", "output": first}),
        *(socketio("stream_token", {"id": "s", "token": p}) for p in rest),
    ]


def protobuf_snapshots() -> list[bytes]:
    return [
        field(1, 7) + field(5, field(2, field(1, field(1, p) + field(2, 1))) + field(3, "main"))
        for p in prefixes(REPLY)
    ]


FRAMES: dict[str, list[Any]] = {
    "json deltas": [json.dumps({"type": "token", "text": p}) for p in cut(REPLY)],
    "json snapshots": [json.dumps({"text": p, "overwrite": True}) for p in prefixes(REPLY)],
    "text tokens": cut(REPLY),
    "socket.io snapshots": web_ui_frames(),
    "socket.io tokens, first apart": token_frames_with_the_first_apart(),
    "record separator": [
        json.dumps({"type": 1, "target": "delta", "arguments": [p]}) + "\x1e" for p in cut(REPLY)
    ],
    "channels": [json.dumps([None, None, "room:1", "delta", {"body": p}]) for p in cut(REPLY)],
    "sockjs": ["o", *("a" + json.dumps([json.dumps({"t": p})]) for p in cut(REPLY))],
    "stomp": [f"MESSAGE\ndestination:/t\n\n{json.dumps({'content': p})}\0" for p in cut(REPLY)],
    "protobuf snapshots": protobuf_snapshots(),
    "protobuf deltas": [field(1, field(3, p)) for p in cut(REPLY, 60)],
    "messagepack": [msgspec.msgpack.encode({"type": "delta", "v": p}) for p in cut(REPLY)],
    "json in binary frames": [json.dumps({"d": p}).encode() for p in cut(REPLY)],
    "whole message": [json.dumps({"from": "bot", "text": REPLY})],
}


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


def test_a_reply_of_one_piece_so_far_is_not_taken_for_ended() -> None:
    """The first pieces may come together, and the next after a pause: only the response's end is its end."""
    rule = StreamRule(url="/api/chat", transport=HTTP, framing="sse", path="$.d", mode="append")
    exchange = Exchange(prompt=PROMPT, rule=rule)
    connection = Connection(url="http://h/api/chat", transport=HTTP, content_type="text/event-stream")
    body = sse({"d": "The station "}, {"d": "wrote of them "}).encode()
    assert exchange.carried(connection, len(body), 1.0)
    exchange.take(connection, connection.body(body), len(body))
    assert exchange.live_text() == "The station wrote of them "
    assert exchange.activity().reply_ended is False
    connection.ended = True
    assert exchange.activity().reply_ended is True
