"""assistant-ui for React, with the events of an OpenAI-style completion stream."""

import json

import widgets
from aiohttp import web

widgets.run(
    web.post(
        "/v1/chat/completions",
        widgets.streaming(
            lambda body: body["messages"][-1]["content"],
            lambda piece: f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': piece}}]})}\n\n",
            end="data: [DONE]\n\n",
        ),
    )
)
