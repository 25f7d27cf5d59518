"""Mesop's chat (Angular Material): server-driven components as protobuf over server-sent events."""

import os
import sys
from collections.abc import Iterator

import backend
import mesop as me
import mesop.labs as mel

if __name__ == "__main__":
    os.execvp("mesop", ["mesop", os.path.abspath(__file__), f"--port={sys.argv[1]}", "--prod"])


def answer(prompt: str, history: list[mel.ChatMessage]) -> Iterator[str]:
    yield from backend.chunks(prompt)


@me.page(path="/", title="Assistant")
def page() -> None:
    mel.chat(answer, title="Assistant", bot_user="Bot")
