"""Shiny's ui.Chat."""

import sys

import backend
from shiny import App, run_app, ui

page = ui.page_fillable(ui.chat_ui("chat"), title="Assistant")


def server(input: object, output: object, session: object) -> None:  # noqa: A002 - Shiny passes them by name
    chat = ui.Chat("chat")

    @chat.on_user_submit
    async def answer(prompt: str) -> None:
        await chat.append_message_stream(backend.achunks(prompt))


app = App(page, server)
if __name__ == "__main__":
    run_app(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
