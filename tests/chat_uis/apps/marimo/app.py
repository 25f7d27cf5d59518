"""marimo's mo.ui.chat in a notebook served as an app; the input is a CodeMirror editor."""

import os
import sys

if __name__ == "__main__":
    command = [sys.executable, "-m", "marimo", "run", os.path.join(os.path.dirname(__file__), "notebook.py")]
    command += ["--headless", "--no-token", "--host", "127.0.0.1", "--port", sys.argv[1]]
    os.execv(sys.executable, command)
