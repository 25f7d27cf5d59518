"""vue-advanced-chat: a Vue application in a shadow root; replies as newline-delimited JSON."""

import json

import widgets
from aiohttp import web

widgets.run(
    web.post(
        "/api/messages",
        widgets.streaming(
            lambda body: body["content"],
            lambda piece: json.dumps({"token": piece}) + "\n",
            media_type="application/x-ndjson",
        ),
    )
)
