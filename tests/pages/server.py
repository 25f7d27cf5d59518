"""The server behind the pages of `traps/`: `/p/NAME/` is a page, the addresses beneath it answer its prompts."""

from __future__ import annotations

import asyncio
import html
import json
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from drivers.playground.markdown import to_html
from drivers.playground.prompt import digest, read
from drivers.playground.script import Append, Fail, Pace, script_for
from tests.protobuf import field, varint

_HERE = Path(__file__).parent
_PLAYGROUND = _HERE.parents[1] / "drivers" / "playground" / "static"
TRAPS = tuple(sorted(path.stem for path in (_HERE / "traps").glob("*.html")))


SLOW_DOCUMENT = 3.5
"""Seconds: longer than a page may take to show that it took a prompt."""
PAUSE = 5.0
"""Seconds in the middle of a reply: longer than a stream may be silent that is open for no reason known."""


class Broken(Exception):
    """The reply breaks off here."""


class TrapServer:
    """Where the pages are, and how often each prompt came in."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.received: Counter[tuple[str, str]] = Counter()
        """By page and digest of the prompt."""

    def url(self, page: str) -> str:
        return f"http://127.0.0.1:{self._port}/p/{page}/"

    def times(self, page: str, prompt: str) -> int:
        return self.received[page, digest(prompt)]


@asynccontextmanager
async def trap_server(pace: Pace, port: int = 0) -> AsyncIterator[TrapServer]:
    """Serve all pages on loopback; nothing is left at the end."""
    backend = _Backend(pace)
    runner = web.AppRunner(backend.app(), shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    backend.state = TrapServer(runner.addresses[0][1])
    try:
        yield backend.state
    finally:
        await runner.cleanup()


class _Backend:
    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.state: TrapServer
        self.polls: dict[str, dict[str, object]] = {}
        self.turns: list[dict[str, str]] = []
        """The conversation that every visitor of `one_thread` sees."""
        self.forms: dict[str, str] = {}
        """The turns on the page of each visitor."""
        self.work: set[asyncio.Task[None]] = set()

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/lab.js", self.static(_HERE / "lab.js")),
                web.get("/markdown.js", self.static(_PLAYGROUND / "markdown.js")),
                web.get("/p/{page}/", self.page),
                web.get("/p/{page}/c/{id}", self.page),
                web.post("/p/{page}/form", self.form),
                web.post("/p/{page}/sse", self.sse),
                web.post("/p/{page}/paused", self.paused),
                web.post("/p/{page}/html", self.html),
                web.post("/p/{page}/history", self.history),
                web.post("/p/{page}/thoughts", self.thoughts),
                web.post("/p/{page}/whole", self.whole),
                web.post("/p/{page}/start", self.start),
                web.get("/p/{page}/poll", self.poll),
                web.post("/p/{page}/say", self.say),
                web.get("/p/{page}/thread", self.thread),
                web.get("/p/{page}/ws", self.socket),
                web.get("/p/{page}/binary", self.binary),
            ]
        )
        app.on_cleanup.append(self.stop)
        return app

    def static(self, path: Path):  # type: ignore[no-untyped-def]
        async def get(_: web.Request) -> web.StreamResponse:
            return web.FileResponse(path, headers={"Content-Type": "text/javascript; charset=utf-8"})

        return get

    async def page(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["page"] == "new_document" and "id" in request.match_info:
            await asyncio.sleep(SLOW_DOCUMENT)
        text = (_HERE / "traps" / f"{request.match_info['page']}.html").read_text("utf-8")
        turns = self.forms.get(request.cookies.get("visitor", ""), "")
        return web.Response(text=text.replace("<!-- turns -->", turns), content_type="text/html")

    async def form(self, request: web.Request) -> web.StreamResponse:
        """A form without a script: the answer is the whole page once more, with one turn more on it."""
        prompt = str((await request.post())["message"]).replace("\r\n", "\n")
        visitor = request.cookies.get("visitor") or f"visitor{len(self.forms)}"
        reply = to_html("".join([piece async for piece in self.pieces(request, prompt)]))
        before = self.forms.get(visitor, "")
        self.forms[visitor] = (
            f'{before}<div class="me">{html.escape(prompt)}</div><div class="bot">{reply}</div>'
        )
        there = web.HTTPSeeOther(f"/p/{request.match_info['page']}/")
        there.set_cookie("visitor", visitor)
        raise there

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Goes on after the request that began it; ended by :meth:`stop`."""
        task = asyncio.create_task(work)
        self.work.add(task)
        task.add_done_callback(self.work.discard)

    async def stop(self, _: web.Application) -> None:
        for task in self.work:
            task.cancel()
        await asyncio.gather(*self.work, return_exceptions=True)

    async def pieces(self, request: web.Request, prompt: str) -> AsyncIterator[str]:
        self.state.received[request.match_info["page"], digest(prompt)] += 1
        asked = read(prompt)
        for step in script_for(prompt, self.pace, fault=asked.fault, argument=asked.argument):
            await asyncio.sleep(step.wait)
            if isinstance(step, Fail):
                raise Broken
            if isinstance(step, Append):
                yield step.text

    async def stream(self, request: web.Request, kind: str) -> tuple[web.StreamResponse, str]:
        body = await request.json()
        response = web.StreamResponse(headers={"Content-Type": kind, "Cache-Control": "no-cache"})
        await response.prepare(request)
        return response, body["prompt"]

    async def sse(self, request: web.Request) -> web.StreamResponse:
        response, prompt = await self.stream(request, "text/event-stream")
        try:
            async for piece in self.pieces(request, prompt):
                await response.write(f"data: {json.dumps({'delta': piece})}\n\n".encode())
            await response.write(b"data: [DONE]\n\n")
        except Broken:
            if request.match_info["page"] == "says_failure":
                await response.write(b'data: {"error": {"message": "overloaded"}}\n\n')
                return response
            assert request.transport is not None
            request.transport.abort()
        except ConnectionResetError:
            pass  # the page left before a stream beside the reply's ended
        return response

    async def paused(self, request: web.Request) -> web.StreamResponse:
        """A long reply begins with several pieces at once and goes on after a pause."""
        response, prompt = await self.stream(request, "text/event-stream")
        pieces = [piece async for piece in self.pieces(request, prompt)]
        lines = [f"data: {json.dumps({'delta': piece})}\n\n".encode() for piece in pieces]
        begun = len(lines) // 3 if len(lines) > 3 else len(lines)
        await response.write(b"".join(lines[:begun]))
        if lines[begun:]:
            await asyncio.sleep(PAUSE)
            await response.write(b"".join(lines[begun:]))
        return response

    async def html(self, request: web.Request) -> web.StreamResponse:
        response, prompt = await self.stream(request, "text/event-stream")
        text = ""
        async for piece in self.pieces(request, prompt):
            text += piece
            await response.write(f"data: {json.dumps({'html': to_html(text)})}\n\n".encode())
        return response

    async def history(self, request: web.Request) -> web.StreamResponse:
        """Each line holds the whole conversation."""
        body = await request.json()
        response, prompt = await self.stream(request, "application/x-ndjson")
        text = ""
        async for piece in self.pieces(request, prompt):
            text += piece
            turns = [*body["messages"], {"role": "assistant", "content": text}]
            await response.write(json.dumps({"messages": turns}).encode() + b"\n")
        return response

    async def thoughts(self, request: web.Request) -> web.StreamResponse:
        """First what it thinks, then the reply."""
        response, prompt = await self.stream(request, "application/x-ndjson")
        thought = "They ask for something that I know well, so I can answer it at once."
        for word in thought.split():
            await response.write(json.dumps({"thought": f"{word} "}).encode() + b"\n")
            await asyncio.sleep(0.01)
        async for piece in self.pieces(request, prompt):
            await response.write(json.dumps({"delta": piece}).encode() + b"\n")
        return response

    async def whole(self, request: web.Request) -> web.StreamResponse:
        prompt = (await request.json())["prompt"]
        return web.json_response({"reply": "".join([piece async for piece in self.pieces(request, prompt)])})

    async def start(self, request: web.Request) -> web.StreamResponse:
        prompt = (await request.json())["prompt"]
        name = f"run{len(self.polls)}"
        state: dict[str, object] = {"status": "running", "text": ""}
        self.polls[name] = state

        async def write() -> None:
            async for piece in self.pieces(request, prompt):
                state["text"] = f"{state['text']}{piece}"
            state["status"] = "done"

        self.spawn(write())
        return web.json_response({"run": name})

    async def poll(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.polls[request.query["run"]])

    async def say(self, request: web.Request) -> web.StreamResponse:
        prompt = (await request.json())["prompt"]
        turn = {"who": "bot", "text": ""}
        self.turns += [{"who": "me", "text": prompt}, turn]

        async def write() -> None:
            async for piece in self.pieces(request, prompt):
                turn["text"] += piece

        self.spawn(write())
        return web.json_response({})

    async def thread(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"turns": self.turns, "busy": bool(self.work)})

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """Deltas, and no word of their end; a heartbeat every half second."""
        socket = web.WebSocketResponse(heartbeat=5)
        await socket.prepare(request)

        async def beat() -> None:
            while True:
                await asyncio.sleep(0.5)
                await socket.send_str('{"type":"ping"}')

        beating = asyncio.create_task(beat())
        try:
            async for message in socket:
                async for piece in self.pieces(request, json.loads(message.data)["text"]):
                    await socket.send_str(json.dumps({"type": "token", "v": piece}))
                if request.query.get("end"):
                    await socket.send_str('{"type":"idle"}')
                if request.query.get("once"):
                    break
        except Broken:
            await socket.close(code=1011)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
        return socket

    async def binary(self, request: web.Request) -> web.StreamResponse:
        """Frames like those of protobuf: 1 = a number, 2 = {1: id, 2: text}."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        number = 0
        async for message in socket:
            prompt = message.data.decode().partition("\x12")[2]
            async for piece in self.pieces(request, prompt):
                number += 1
                inner = field(1, b"msg-7") + field(2, piece.encode())
                await socket.send_bytes(b"\x08" + varint(number) + field(2, inner))
            await socket.send_bytes(b"\x08" + varint(number + 1) + b"\x18\x01")
        return socket
