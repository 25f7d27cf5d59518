"""The page that Solara serves."""

import backend
import solara
from solara.lab import ChatBox, ChatInput, ChatMessage, task


@solara.component
def Page() -> None:  # noqa: N802 - Solara finds its page by this name
    history, set_history = solara.use_state([])
    asked = solara.use_reactive("")

    @task
    async def answer() -> None:
        text, before = "", [*history, ("You", asked.value)]
        async for piece in backend.achunks(asked.value):
            text += piece
            set_history([*before, ("Bot", text)])

    def send(prompt: str) -> None:
        asked.value = prompt
        set_history([*history, ("You", prompt)])
        answer()

    with solara.Column(style={"height": "90vh"}):
        with ChatBox():
            for name, text in history:
                with ChatMessage(user=name == "You", name=name):
                    solara.Markdown(text)
        ChatInput(send_callback=send, disabled=answer.pending)
