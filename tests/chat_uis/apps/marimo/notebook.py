import marimo

app = marimo.App()


@app.cell
def _():
    import backend
    import marimo as mo

    async def answer(messages, config):
        async for piece in backend.achunks(messages[-1].content):
            yield piece

    mo.ui.chat(answer)
    return


if __name__ == "__main__":
    app.run()
