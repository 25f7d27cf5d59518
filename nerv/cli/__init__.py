"""The `nerv` command: thin and lazy. A command reads its words, calls the part it is for, and prints."""

from __future__ import annotations

from nerv.cli.main import main

__all__ = ("main",)
