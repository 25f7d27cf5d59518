"""The WebSocket transport: one socket per page, by which it sends prompts and follows replies."""

import asyncio
from contextlib import suppress

import msgspec
from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.handlers import WebsocketRouteHandler
from msgspec import Struct

from drivers.playground.api import ConnectionCut, checked, follow, passed_gates
from drivers.playground.conversations import ConversationId, Refused, Turn
from drivers.playground.generation import Abandoned
from drivers.playground.site import SendRequest, Site
from drivers.playground.wire import Event

CLOSE_BROKEN = 1011


class Send(Struct, frozen=True, kw_only=True, tag_field="type", tag="send"):
    request: SendRequest


class Resume(Struct, frozen=True, kw_only=True, tag_field="type", tag="resume"):
    conversation: str
    revision: int = 0
    offset: int = 0


class RefusedEvent(Struct, frozen=True, kw_only=True, tag_field="type", tag="refused"):
    code: int
    reason: str


AnySocket = WebSocket[None, None, object]  # type: ignore[type-var]
_decode = msgspec.json.Decoder(Send | Resume).decode
_encode = msgspec.json.Encoder().encode


def route(site: Site) -> WebsocketRouteHandler:
    """The handler at /ws, bound to `site`."""

    async def send(socket: AnySocket, event: Event | RefusedEvent) -> None:
        await socket.send_text(_encode(event).decode())

    async def serve(socket: AnySocket, turn: Turn, revision: int, offset: int) -> None:
        with suppress(WebSocketDisconnect):
            try:
                async for event in follow(site, turn, revision, offset):
                    await send(socket, event)
            except (ConnectionCut, Abandoned):
                await socket.close(CLOSE_BROKEN)

    async def handle(socket: AnySocket, tasks: asyncio.TaskGroup, text: str) -> asyncio.Task[None] | None:
        try:
            message = _decode(text)
            if isinstance(message, Resume):
                turn = site.library.find(ConversationId(message.conversation)).turns[-1]
                return tasks.create_task(serve(socket, turn, message.revision, message.offset))
            data, _ = checked(message.request)
            turn, start = site.accept(data, passed_gates(socket.cookies))
        except Refused as refused:
            await send(socket, RefusedEvent(code=refused.code, reason=refused.reason))
        except msgspec.ValidationError as error:
            await send(socket, RefusedEvent(code=400, reason=str(error)))
        except msgspec.DecodeError as error:
            await send(socket, RefusedEvent(code=400, reason=f"not JSON: {error}"))
        else:
            await send(socket, start)
            return tasks.create_task(serve(socket, turn, 0, 0))
        return None

    @websocket("/ws")
    async def ws(socket: AnySocket) -> None:
        await socket.accept()
        with suppress(WebSocketDisconnect):
            async with asyncio.TaskGroup() as tasks:
                following: asyncio.Task[None] | None = None
                try:
                    while True:
                        text = await socket.receive_text()
                        if following is not None:
                            following.cancel()
                        following = await handle(socket, tasks, text)
                except WebSocketDisconnect:
                    if following is not None:
                        following.cancel()

    return ws
