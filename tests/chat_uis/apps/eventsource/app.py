"""A hand-written page: native EventSource with named events, a prompt in the address, input disabled while busy."""

import json

import widgets
from aiohttp import web

widgets.run(
    web.get(
        "/ask",
        widgets.streaming(
            lambda query: query["q"],
            lambda piece: f"event: token\ndata: {json.dumps(piece)}\n\n",
            end="event: done\ndata: {}\n\n",
        ),
    )
)
