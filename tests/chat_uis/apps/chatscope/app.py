"""chatscope's chat-ui-kit for React: a contenteditable, replies over a WebSocket as small JSON frames."""

import json

import widgets
from aiohttp import web

widgets.run(
    web.get(
        "/socket",
        widgets.websocket(
            lambda data: json.loads(data)["payload"]["body"],
            lambda piece, text: json.dumps({"op": "token", "payload": {"t": piece}}),
            begin=json.dumps({"op": "begin"}),
            end=json.dumps({"op": "end"}),
        ),
    )
)
