"""Panel's ChatInterface: Bokeh documents over a WebSocket, everything in shadow roots."""

import sys
from collections.abc import AsyncIterator

import backend
import panel as pn


async def answer(contents: str, user: str, instance: object) -> AsyncIterator[str]:
    text = ""
    async for piece in backend.achunks(contents):
        text += piece
        yield text


def page() -> pn.chat.ChatInterface:
    return pn.chat.ChatInterface(callback=answer, callback_exception="verbose", height=640)


pn.extension()
pn.serve(page, address="127.0.0.1", port=int(sys.argv[1]), show=False, title="Assistant")
