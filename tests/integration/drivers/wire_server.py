"""A chat back end for the capture's tests: one reply, sent in each of the ways that chat pages receive one."""

from __future__ import annotations

import asyncio
import json

from aiohttp import WSMsgType, web

from tests.protobuf import field

REPLY = (
    "## Ants and bees\n\nAn **ant** walks, a *bee* flies; naïve 漢字 😀 `x < 1`.\n\n"
    + "".join(f"- line {n} of the list with some words in it\n" for n in range(30))
    + "\nThat is all.\n"
)
PIECES = [REPLY[at : at + 40] for at in range(0, len(REPLY), 40)]

_PAGE = """<!doctype html><meta charset="utf-8"><body><div id="out"></div><script>
const out = document.getElementById("out");
let text = "";
const strip = (t) => t.replace(/[*`]|^#+ |^- /gm, "");
const show = (t) => { text = t; out.innerText = strip(t); };
const add = (t) => show(text + t);
const end = () => out.setAttribute("data-done", "1");
const lines = async (url, take) => {
  const reader = (await fetch(url, {method: "POST"})).body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {done, value} = await reader.read();
    if (done) break;
    rest += value;
    const parts = rest.split("\\n");
    rest = parts.pop();
    parts.forEach(take);
  }
  end();
};
const WAYS = {
  sse: () => lines("/sse", (l) => { if (l.startsWith("data: {")) add(JSON.parse(l.slice(6)).delta); }),
  ndjson: () => lines("/ndjson", (l) => { if (l) add(JSON.parse(l).message.content); }),
  chunked: async () => {
    const reader = (await fetch("/chunked", {method: "POST"})).body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) { const {done, value} = await reader.read(); if (done) break; add(value); }
    end();
  },
  eventsource: () => {
    const source = new EventSource("/sse");
    source.onmessage = (e) => {
      if (e.data === "[DONE]") { source.close(); end(); } else add(JSON.parse(e.data).delta);
    };
  },
  xhr: () => {
    const xhr = new XMLHttpRequest();
    xhr.open("POST", "/chunked");
    xhr.onprogress = () => show(xhr.responseText);
    xhr.onload = () => { show(xhr.responseText); end(); };
    xhr.send();
  },
  poll: async () => {
    for (let at = 0; ; at++) {
      const got = await (await fetch("/poll?at=" + at)).json();
      show(got.messages.at(-1).text);
      if (got.done) break;
    }
    end();
  },
  whole: async () => { show((await (await fetch("/whole", {method: "POST"})).json()).answer.text); end(); },
  ws: () => {
    const ws = new WebSocket("ws://" + location.host + "/ws/json");
    ws.onmessage = (e) => { const m = JSON.parse(e.data); m.done ? end() : add(m.token); };
  },
  ws_binary: () => {
    const ws = new WebSocket("ws://" + location.host + "/ws/binary");
    ws.binaryType = "arraybuffer";
    ws.onmessage = (e) => {
      if (typeof e.data === "string") return end();
      const bytes = new Uint8Array(e.data);  // field 1: the text so far
      let at = 1, size = 0, shift = 0;
      do { size |= (bytes[at] & 127) << shift; shift += 7; } while (bytes[at++] & 128);
      show(new TextDecoder().decode(bytes.slice(at, at + size)));
    };
  },
};
const frame = new URLSearchParams(location.search).get("frame");
if (frame) {
  const inner = document.createElement("iframe");
  inner.src = frame;
  document.body.append(inner);
}
</script></body>"""


async def _page(request: web.Request) -> web.Response:
    return web.Response(text=_PAGE, content_type="text/html")


def _stream(content_type: str, pieces: list[str], pause: float = 0.01):  # type: ignore[no-untyped-def]
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        for piece in pieces:
            data = piece.encode()
            await response.write(data[: len(data) // 2])  # cut within characters, too
            await asyncio.sleep(pause)
            await response.write(data[len(data) // 2 :])
        await response.write_eof()
        return response

    return handler


async def _poll(request: web.Request) -> web.Response:
    at = int(request.query["at"])
    text = "".join(PIECES[: at + 1])
    messages = [{"role": "user", "text": "What are ants?"}, {"role": "assistant", "text": text}]
    return web.json_response({"messages": messages, "done": at >= len(PIECES) - 1})


async def _whole(request: web.Request) -> web.Response:
    return web.json_response({"id": "a1", "answer": {"text": REPLY}})


async def _cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    await response.write(PIECES[0].encode())
    assert request.transport is not None
    request.transport.abort()
    return response


async def _refused(request: web.Request) -> web.Response:
    return web.json_response({"error": "too many"}, status=429)


async def _socket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    for at, piece in enumerate(PIECES):
        if request.match_info["kind"] == "json":
            await socket.send_json({"token": piece})
        else:
            text = "".join(PIECES[: at + 1]).encode()
            await socket.send_bytes(field(1, text) + b"\x10\x01")
        await asyncio.sleep(0.005)
    await (
        socket.send_json({"done": True}) if request.match_info["kind"] == "json" else socket.send_str("end")
    )
    async for message in socket:
        if message.type is WSMsgType.CLOSE:
            break
    return socket


def application() -> web.Application:
    app = web.Application()
    sse = [f"data: {json.dumps({'delta': p})}\n\n" for p in PIECES] + ["data: [DONE]\n\n"]
    ndjson = [
        json.dumps({"message": {"role": "assistant", "content": p}}, ensure_ascii=False) + "\n"
        for p in PIECES
    ]
    app.router.add_get("/", _page)
    for method in ("GET", "POST"):
        app.router.add_route(method, "/sse", _stream("text/event-stream", sse))
    app.router.add_post("/ndjson", _stream("application/x-ndjson", ndjson))
    app.router.add_post("/chunked", _stream("text/plain; charset=utf-8", PIECES))
    app.router.add_get("/poll", _poll)
    app.router.add_post("/whole", _whole)
    app.router.add_post("/cut", _cut)
    app.router.add_post("/refused", _refused)
    app.router.add_get("/ws/{kind}", _socket)
    return app
