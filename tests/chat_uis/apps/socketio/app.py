"""A hand-written page: socket.io events, a consent dialog in the way, a greeting, a decoy search box."""

import backend
import socketio
import widgets
from aiohttp import web

server = socketio.AsyncServer(async_mode="aiohttp")


@server.on("ask")
async def ask(sid: str, data: dict[str, str]) -> None:
    await server.emit("begin", {}, to=sid)
    try:
        async for piece in backend.achunks(data["message"]):
            await server.emit("token", {"token": piece}, to=sid)
    except backend.BackendFailed:
        await server.disconnect(sid)
        return
    await server.emit("end", {}, to=sid)


def attach(app: web.Application) -> None:
    server.attach(app)


widgets.run(setup=attach)
