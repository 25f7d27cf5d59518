"""Bot Framework Web Chat, against a Direct Line of our own that it polls; Adaptive Cards markup, no streaming."""

import asyncio
import datetime

import backend
import widgets
from aiohttp import web

activities: list[dict[str, object]] = []
working: set[asyncio.Task[None]] = set()


def say(who: str, role: str, text: str, **more: object) -> str:
    identity = f"chat|{len(activities):07}"
    now = datetime.datetime.now(datetime.UTC).isoformat()
    base = {
        "type": "message",
        "id": identity,
        "timestamp": now,
        "from": {"id": who, "role": role},
        "text": text,
    }
    activities.append({**base, "textFormat": "markdown", "conversation": {"id": "chat"}, **more})
    return identity


async def answer(prompt: str) -> None:
    text = ""
    async for piece in backend.achunks(prompt):
        text += piece
    say("bot", "bot", text)


async def start(request: web.Request) -> web.Response:
    return web.json_response({"conversationId": "chat", "token": "local", "expires_in": 3600})


async def receive(request: web.Request) -> web.Response:
    body = await request.json()
    if body.get("type") != "message":
        return web.json_response({"id": "chat|event"})
    identity = say(body["from"]["id"], "user", body["text"], channelData=body.get("channelData", {}))
    task = asyncio.create_task(answer(body["text"]))
    working.add(task)
    task.add_done_callback(working.discard)
    return web.json_response({"id": identity})


async def since(request: web.Request) -> web.Response:
    mark = int(request.query.get("watermark") or 0)
    return web.json_response({"activities": activities[mark:], "watermark": str(len(activities))})


BASE = "/v3/directline/conversations"
widgets.run(
    web.post(BASE, start),
    web.post(f"{BASE}/chat/activities", receive),
    web.get(f"{BASE}/chat/activities", since),
)
