"""What back ends send: replies in many framings, and exchanges that have heard them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from drivers.capture import Connection, Exchange, WireDelta
from drivers.capture.rule import HTTP, WEBSOCKET
from tests.protobuf import field

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


def replay(deltas: Iterable[WireDelta]) -> str:
    text = ""
    for delta in deltas:
        assert delta.rewrite or delta.offset == len(text), "a delta that appends begins where the text ends"
        text = text[: delta.offset] + delta.text
    return text
