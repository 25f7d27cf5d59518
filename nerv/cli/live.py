"""Prints a reply to a terminal while it grows."""

from __future__ import annotations

from typing import TextIO

from kernel.messages import Delta


class LiveReply:
    """Appends as deltas come. What was printed cannot be taken back: after a rewrite the whole text is shown anew."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._text = ""
        self._printed = ""

    def restart(self) -> None:
        """Another attempt answers: it shows again what is on the screen, or else something new."""
        self._text = ""

    def apply(self, delta: Delta) -> None:
        self._text = self._text[: delta.offset] + delta.text
        if self._text.startswith(self._printed):
            self._write(self._text[len(self._printed) :])

    def finish_as(self, text: str) -> None:
        """End with exactly ``text``: whole again, under a rule, where the page rewrote what is on the screen."""
        if not text.startswith(self._printed):
            self._out.write("\n\n---- the page rewrote its reply; this is the stored one ----\n\n")
            self._printed = ""
        self._write(text[len(self._printed) :])
        self.close()

    def close(self) -> None:
        if self._printed and not self._printed.endswith("\n"):
            self._out.write("\n")
        self._out.flush()

    def _write(self, more: str) -> None:
        if more:
            self._out.write(more)
            self._out.flush()
            self._printed += more
