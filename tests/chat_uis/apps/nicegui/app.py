"""NiceGUI: Quasar's input without a send button, replies re-rendered as Markdown on the server."""

import sys

import backend
from nicegui import ui


@ui.page("/")
def page() -> None:
    thread = ui.column().classes("w-full max-w-3xl mx-auto")

    async def send() -> None:
        prompt, box.value = box.value, ""
        if not prompt.strip():
            return
        with thread:
            ui.chat_message(text=prompt, name="You", sent=True)
            with ui.chat_message(name="Bot"):
                reply = ui.markdown(
                    extras=["fenced-code-blocks", "tables", "strike", "task_list", "cuddled-lists"]
                )
        text = ""
        async for piece in backend.achunks(prompt):
            text += piece
            reply.set_content(text)

    with ui.footer().classes("bg-white"):
        box = ui.input(placeholder="Type a message").classes("w-full").on("keydown.enter", send)


ui.run(
    host="127.0.0.1",
    port=int(sys.argv[1]),
    title="Assistant",
    reload=False,
    show=False,
    show_welcome_message=False,
)
