"""Did the prompt leave the page? What requests and socket frames carry outwards since a prompt was typed."""

from __future__ import annotations

import json
import re
from urllib.parse import quote, quote_plus

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, Request, WebSocket

MAX_BODY = 4_000_000
"""Bytes of one request that are searched; a longer one counts as carrying the prompt."""
SHORT = 6
"""Characters below which a prompt is looked for only as a whole value."""


class OutgoingWatch:
    """Searches what a page sends for the prompt. When in doubt it says yes: then the prompt is not sent again."""

    def __init__(self, page: Page) -> None:
        self.carried = False
        self.carriers: set[str] = set()
        """Addresses of the requests that carried the prompt."""
        self.requests = 0
        """Bodies of requests and socket frames that are large enough to hold the prompt, since :meth:`begin`."""
        self._needles: tuple[bytes, ...] = ()
        self._whole = b""
        self._size = 8
        page.on("request", self._request)
        page.on("websocket", self._socket)

    def begin(self, prompt: str) -> None:
        self.carried = False
        self.carriers = set()
        self.requests = 0
        self._needles = needles(prompt)
        self._whole = prompt.strip().encode("utf-8", "surrogatepass")
        self._size = max(8, len(prompt) // 2)  # half: a page may pack it; below 8 bytes are heartbeats

    def _request(self, request: Request) -> None:
        try:
            if not self._needles:
                return
            body = request.post_data_buffer or b""
            self._count(body)
            if self._search(body + b"&") or self._search(request.url.encode() + b"&"):
                self.carriers.add(request.url)
        except (PlaywrightError, UnicodeError):
            self.carried = True  # a body that cannot be read may be the one

    def _socket(self, socket: WebSocket) -> None:
        socket.on("framesent", self._frame)

    def _frame(self, payload: str | bytes) -> None:
        if self._needles and not self.carried:
            body = payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else payload
            self._count(body)
            self._search(body)

    def _count(self, body: bytes) -> None:
        if len(body) >= self._size:
            self.requests += 1

    def _search(self, body: bytes) -> bool:
        found = (
            len(body) > MAX_BODY
            or body.strip() == self._whole
            or any(needle in body for needle in self._needles)
        )
        self.carried = self.carried or found
        return found


def needles(prompt: str) -> tuple[bytes, ...]:
    """A telling piece of the prompt, in the forms it can take in a request."""
    pieces = re.findall(r"[^\s\"\\<>&%+]+(?: [^\s\"\\<>&%+]+){0,5}", prompt) or [prompt.strip()]
    piece = max(pieces, key=len)[:60]
    forms = {
        piece,
        json.dumps(piece)[1:-1],
        json.dumps(json.dumps(piece))[3:-3],
        quote(piece),
        quote_plus(piece),
        quote(piece, safe="!'()*~"),
    }
    if len(piece) < SHORT:  # "hi" is in every "history": only as a value of its own
        forms = {form for one in forms for form in (f'"{one}"', f'\\"{one}\\"', f"={one}&", f">{one}<")}
    return tuple(form.encode("utf-8", "surrogatepass") for form in forms if form)
