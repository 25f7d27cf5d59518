"""NLUX: its own Markdown renderer with a typing effect; the reply is plain text in a chunked response."""

import widgets
from aiohttp import web

widgets.run(
    web.post("/api/chat", widgets.streaming(lambda body: body["prompt"], str, media_type="text/plain"))
)
