"""The deep-chat web component, replies as server-sent events."""

import json

import widgets
from aiohttp import web

widgets.run(
    web.post(
        "/api/chat",
        widgets.streaming(
            lambda body: body["messages"][-1]["text"],
            lambda piece: f"data: {json.dumps({'text': piece})}\n\n",
        ),
    )
)
