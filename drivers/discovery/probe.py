"""What a page is asked to prove that it is a chat."""

from __future__ import annotations

import secrets

PROBE = (
    "Please answer this test message (reference {mark}) with two short sentences about rivers, "
    "then a bullet list with two items."
)


def make_probe(given: str | None) -> str:
    """The user's own probe, or ours with a mark that no page shows by chance."""
    if given is not None and given.strip():
        return given
    return PROBE.format(mark=secrets.token_hex(4))
