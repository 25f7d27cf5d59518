"""The server behind the npm widgets and the hand-written pages: static files, and replies by several transports."""

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import backend
from aiohttp import web

APP = Path(sys.argv[0]).resolve().parent
NODE = Path(os.environ.get("NERV_LAB_NODE") or APP)
# Some packages ask a font or data server by default: the page is kept on this machine.
LOCAL_ONLY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob: ws:; frame-src http://127.0.0.1:* http://localhost:*"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def file_at(path: Path) -> Handler:
    async def get(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(
            path, headers={"Cache-Control": "no-cache", "Content-Security-Policy": LOCAL_ONLY}
        )

    return get


def streaming(
    prompt_of: Callable[[Any], str],
    wrap: Callable[[str], str],
    *,
    media_type: str = "text/event-stream",
    begin: str = "",
    end: str = "",
    headers: dict[str, str] | None = None,
) -> Handler:
    """Answers with `wrap(piece)` for each piece; a reply that fails drops the connection."""

    async def handle(request: web.Request) -> web.StreamResponse:
        prompt = prompt_of(await request.json() if request.method == "POST" else request.query)
        response = web.StreamResponse(
            headers={
                "Content-Type": f"{media_type}; charset=utf-8",
                "Cache-Control": "no-cache",
                **(headers or {}),
            }
        )
        await response.prepare(request)
        try:
            await response.write(begin.encode()) if begin else None
            async for piece in backend.achunks(prompt):
                await response.write(wrap(piece).encode())
            await response.write(end.encode()) if end else None
            await response.write_eof()
        except backend.BackendFailed:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionResetError:
            pass  # the page went away; nobody is left to tell
        return response

    return handle


def websocket(
    prompt_of: Callable[[str], str], wrap: Callable[[str, str], str], *, begin: str = "", end: str = ""
) -> Handler:
    """Answers each text frame with `wrap(piece, text so far)` frames."""

    async def handle(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is not web.WSMsgType.TEXT:
                continue
            text = ""
            try:
                if begin:
                    await socket.send_str(begin)
                async for piece in backend.achunks(prompt_of(message.data)):
                    text += piece
                    await socket.send_str(wrap(piece, text))
                if end:
                    await socket.send_str(end)
            except backend.BackendFailed:
                await socket.close(code=1011)
        return socket

    return handle


def run(
    *routes: web.AbstractRouteDef,
    page: str = "index.html",
    setup: Callable[[web.Application], None] | None = None,
) -> None:
    """Serve the page, /nm/ (node_modules), the bundle and `routes` on the port of the command line."""
    app = web.Application(client_max_size=2**22)
    app.router.add_get("/", file_at(APP / page))
    app.router.add_static("/nm/", NODE / "node_modules", follow_symlinks=True) if (
        NODE / "node_modules"
    ).exists() else None
    for name in ("bundle.js", "bundle.css"):
        if (NODE / name).exists():
            app.router.add_get(f"/{name}", file_at(NODE / name))
    app.add_routes(list(routes))
    if setup is not None:
        setup(app)
    web.run_app(app, host=os.environ.get("NERV_LAB_HOST", "127.0.0.1"), port=int(sys.argv[1]), print=None)
