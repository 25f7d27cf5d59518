"""Solara's chat components (Vuetify widgets over the Jupyter protocol)."""

import os
import sys

if __name__ == "__main__":
    page = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page.py")
    command = [sys.executable, "-m", "solara", "run", page, "--host", "127.0.0.1", "--port", sys.argv[1]]
    os.execv(sys.executable, [*command, "--no-open", "--production"])
