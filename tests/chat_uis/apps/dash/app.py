"""Dash: a page driven by callbacks over HTTP, which polls for the reply with an interval."""

import sys
import threading

import backend
from dash import Dash, Input, Output, State, dcc, html, no_update

replies: dict[int, tuple[str, str, bool]] = {}
app = Dash("assistant", title="Assistant", serve_locally=True, update_title="")
app.layout = html.Div(
    [
        html.Div(id="thread"),
        dcc.Input(
            id="box",
            type="text",
            placeholder="Your question",
            debounce=False,
            n_submit=0,
            style={"width": "60%"},
        ),
        html.Button("Ask", id="ask", n_clicks=0),
        dcc.Interval(id="tick", interval=250),
    ]
)


def work(number: int, prompt: str) -> None:
    text = ""
    for piece in backend.chunks(prompt):
        text += piece
        replies[number] = (prompt, text, False)
    replies[number] = (prompt, text, True)


@app.callback(
    Output("box", "value"),
    Input("ask", "n_clicks"),
    Input("box", "n_submit"),
    State("box", "value"),
    prevent_initial_call=True,
)
def send(clicks: int, submits: int, prompt: str | None) -> object:
    if not prompt or not prompt.strip():
        return no_update
    number = len(replies)
    replies[number] = (prompt, "", False)
    threading.Thread(target=work, args=(number, prompt), daemon=True).start()
    return ""


@app.callback(Output("thread", "children"), Input("tick", "n_intervals"))
def show(ticks: int | None) -> list[object]:
    rows: list[object] = []
    for prompt, text, _ in list(replies.values()):
        rows += [html.Div(prompt, className="question"), dcc.Markdown(text, className="answer")]
    return rows


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]), debug=False)
