"""Which address of a page names a conversation. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_ID = re.compile(r"(?=[^/]*\d)[0-9A-Za-z_-]{8,}|\d{2,}|[0-9a-f]{8}-[0-9a-f-]{10,}")


def conversation_address(recipe_address: str, before: str, now: str) -> str | None:
    """The address ``now`` if it names one conversation: it changed since the prompt was sent (``before``), or it
    carries an id that the provider's own address does not have. None while it says nothing."""
    if not now.startswith(("http://", "https://")) or _plain(now) == _plain(recipe_address):
        return None
    if _plain(now) != _plain(before):
        return now
    parts, own = urlsplit(now), urlsplit(recipe_address)
    extra = f"{parts.path}?{parts.query}#{parts.fragment}".replace(
        own.path if len(own.path) > 1 else "\0", "", 1
    )
    return now if any(_ID.fullmatch(piece) for piece in re.split(r"[/?#&=]", extra) if piece) else None


def _plain(url: str) -> tuple[str, str, str, str]:
    parts = urlsplit(url)
    return (parts.netloc, parts.path.rstrip("/"), parts.query, parts.fragment.rstrip("/"))
