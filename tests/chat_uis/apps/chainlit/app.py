"""Chainlit. Its command imports this file again to find the handler."""

import os
import sys

if __name__ == "__main__":
    command = [sys.executable, "-m", "chainlit", "run", os.path.abspath(__file__), "--headless"]
    os.execv(sys.executable, [*command, "--host", "127.0.0.1", "--port", sys.argv[1]])

import backend
import chainlit as cl


@cl.on_message
async def answer(message: cl.Message) -> None:
    reply = cl.Message(content="")
    async for piece in backend.achunks(message.content):
        await reply.stream_token(piece)
    await reply.send()
