"""n8n's chat widget: a bubble that has to be opened, replies as n8n's streamed items."""

import json

import widgets
from aiohttp import web


def item(kind: str, content: str = "") -> str:
    return (
        json.dumps({"type": kind, "content": content, "metadata": {"nodeId": "1", "nodeName": "Agent"}})
        + "\n"
    )


widgets.run(
    web.post(
        "/webhook/chat",
        widgets.streaming(
            lambda body: body["chatInput"],
            lambda piece: item("item", piece),
            media_type="application/json",
            begin=item("begin"),
            end=item("end"),
        ),
    )
)
