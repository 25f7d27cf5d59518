"""Seven editors that keep a model of their own beside the page, in one small chat: `/?editor=slate`, and so on."""

from __future__ import annotations

import json

import widgets
from aiohttp import web

widgets.run(
    web.post(
        "/v1/chat/completions",
        widgets.streaming(
            lambda body: body["prompt"],
            lambda piece: f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': piece}}]})}\n\n",
            end="data: [DONE]\n\n",
        ),
    )
)
