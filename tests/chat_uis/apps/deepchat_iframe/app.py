"""deep-chat in a frame from another site ("localhost" beside "127.0.0.1"), with decoy inputs outside."""

import json

import widgets
from aiohttp import web

widgets.run(
    web.get("/widget", widgets.file_at(widgets.APP / "widget.html")),
    web.post(
        "/api/chat",
        widgets.streaming(
            lambda body: body["messages"][-1]["text"],
            lambda piece: f"data: {json.dumps({'text': piece})}\n\n",
        ),
    ),
)
