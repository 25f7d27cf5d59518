"""The deep-chat web component, replies over a WebSocket, each frame with the whole text so far."""

import json

import widgets
from aiohttp import web

widgets.run(
    web.get(
        "/ws",
        widgets.websocket(
            lambda data: json.loads(data)["messages"][-1]["text"],
            lambda piece, text: json.dumps({"text": text, "overwrite": True}),
        ),
    )
)
