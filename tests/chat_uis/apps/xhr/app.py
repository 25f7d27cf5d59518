"""A hand-written page: server-sent events read by XMLHttpRequest, newest message first, a screen-reader duplicate."""

import json

import widgets
from aiohttp import web

widgets.run(
    web.post(
        "/chat",
        widgets.streaming(lambda body: body["text"], lambda piece: f"data: {json.dumps({'v': piece})}\n\n"),
    )
)
