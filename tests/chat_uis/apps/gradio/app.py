"""Gradio's ChatInterface."""

import sys
from collections.abc import AsyncIterator

import backend
import gradio as gr


async def answer(message: str, history: list[object]) -> AsyncIterator[str]:
    text = ""
    yield text
    async for piece in backend.achunks(message):
        text += piece
        yield text


gr.ChatInterface(answer, title="Assistant").launch(
    server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True
)
