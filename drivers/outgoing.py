"""Did the prompt leave the page? What requests and socket frames carry outwards since a prompt was typed."""

from __future__ import annotations

import json
import re
from urllib.parse import quote, quote_plus

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, Request, WebSocket

MAX_BODY = 4_000_000
"""Bytes of one request that are searched; a longer one counts as carrying the prompt."""


class OutgoingWatch:
    """Searches what a page sends for the prompt. When in doubt it says yes: then the prompt is not sent again."""

    def __init__(self, page: Page) -> None:
        self.carried = False
        self.carriers: set[str] = set()
        """Addresses of the requests that carried the prompt."""
        self.requests = 0
        """Requests that can change something (not GET) and socket frames, since :meth:`begin`."""
        self._needles: tuple[bytes, ...] = ()
        page.on("request", self._request)
        page.on("websocket", self._socket)

    def begin(self, prompt: str) -> None:
        self.carried = False
        self.carriers = set()
        self.requests = 0
        self._needles = needles(prompt)

    def _request(self, request: Request) -> None:
        try:
            if not self._needles:
                return
            body = request.post_data_buffer or b""
            if request.method != "GET" and request.resource_type in ("fetch", "xhr", "document", "other"):
                self.requests += 1
            if self._search(body) or self._search(request.url.encode()):
                self.carriers.add(request.url)
        except (PlaywrightError, UnicodeError):
            self.carried = True  # a body that cannot be read may be the one

    def _socket(self, socket: WebSocket) -> None:
        socket.on("framesent", self._frame)

    def _frame(self, payload: str | bytes) -> None:
        if self._needles and not self.carried:
            self.requests += 1
            self._search(payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else payload)

    def _search(self, body: bytes) -> bool:
        found = len(body) > MAX_BODY or any(needle in body for needle in self._needles)
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
    return tuple(form.encode("utf-8", "surrogatepass") for form in forms if form)
