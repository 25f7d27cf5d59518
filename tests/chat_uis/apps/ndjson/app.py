"""A hand-written page: newline-delimited JSON, a bare contenteditable without a role, Enter is a new line,
the send control is a `div` that appears only after typing."""

import json

import widgets
from aiohttp import web


def line(piece: str) -> str:
    return json.dumps({"candidates": [{"content": {"role": "model", "parts": [{"text": piece}]}}]}) + "\n"


widgets.run(
    web.post(
        "/generate",
        widgets.streaming(
            lambda body: body["inputs"][-1]["parts"][0]["text"], line, media_type="application/x-ndjson"
        ),
    )
)
