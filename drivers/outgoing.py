"""Did the prompt leave the page? What requests and socket frames carry outwards since a prompt was typed."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from urllib.parse import quote, quote_plus

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, Request, WebSocket

from drivers.trouble import REFUSALS, HttpFailure

MAX_BODY = 4_000_000
"""Bytes of one request that are searched; a longer one counts as carrying the prompt."""
WHOLE = 400
"""Characters of the prompt's beginning that are looked for as one."""
SHORT = 6
"""Characters below which a prompt is looked for only as a whole value."""


class OutgoingWatch:
    """Searches what a page sends for the prompt. When in doubt it says yes: then the prompt is not sent again."""

    def __init__(self, page: Page) -> None:
        self.carried = False
        self.carriers: Counter[str] = Counter()
        """Addresses of the requests that carried the prompt, and how many each."""
        self.unanswerable = False
        """The prompt may have gone out in another way than by a request with an answer."""
        self.by_document = False
        """The prompt went out with a request for a new document, as a form without a script sends it."""
        self.requests = 0
        """Bodies of requests and socket frames that are large enough to hold the prompt, since :meth:`begin`."""
        self._needles: tuple[bytes, ...] = ()
        self._whole = b""
        self._size = 8
        page.on("request", self._request)
        page.on("websocket", self._socket)

    def begin(self, prompt: str) -> None:
        self.carried = False
        self.carriers = Counter()
        self.unanswerable = False
        self.by_document = False
        self.requests = 0
        self._needles = needles(prompt)
        self._whole = prompt.strip().encode("utf-8", "surrogatepass")
        self._size = max(8, len(prompt) // 2)  # half: a page may pack it; below 8 bytes are heartbeats

    def refused(self, failures: Sequence[HttpFailure]) -> bool:
        """Whether each request that carried the prompt was answered with a refusal: then nobody has it."""
        answers = Counter(failure.url for failure in failures if failure.status in REFUSALS)
        return bool(self.carriers) and not self.unanswerable and self.carriers <= answers

    def _request(self, request: Request) -> None:
        try:
            if not self._needles:
                return
            body = request.post_data_buffer or b""
            self._count(body)
            if self._search(body + b"&") or self._search(request.url.encode() + b"&"):
                self.carriers[request.url] += 1
                self.by_document = self.by_document or request.is_navigation_request()
        except (PlaywrightError, UnicodeError):
            self.carried = self.unanswerable = True  # a body that cannot be read may be the one

    def _socket(self, socket: WebSocket) -> None:
        socket.on("framesent", self._frame)

    def _frame(self, payload: str | bytes) -> None:
        if self._needles and not self.unanswerable:
            body = payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else payload
            self._count(body)
            self.unanswerable = self._search(body)

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
    """A telling piece of the prompt, and the beginning of it all, in the forms they can take in a request."""
    pieces = re.findall(r"[^\s\"\\<>&%+]+(?: [^\s\"\\<>&%+]+){0,5}", prompt) or [prompt.strip()]
    piece = max(pieces, key=len)[:60]
    found = _forms(piece)
    if len(piece) < SHORT:  # "hi" is in every "history": only as a value of its own
        found = {form for one in found for form in (f'"{one}"', f'\\"{one}\\"', f"={one}&", f">{one}<")}
    whole = prompt.strip()[:WHOLE]
    if len(whole) >= SHORT:  # many short lines: no piece of one line tells enough
        found |= _forms(whole) | _forms(whole.replace("\n", "\r\n"))
    return tuple(form.encode("utf-8", "surrogatepass") for form in found if form)


def _forms(text: str) -> set[str]:
    """As it is, in JSON, in JSON within JSON, and in addresses and forms."""
    ascii_only, as_it_is = json.dumps(text), json.dumps(text, ensure_ascii=False)
    quoted: set[str] = set()
    with contextlib.suppress(UnicodeEncodeError):  # half a character has no form in an address
        quoted = {quote(text), quote_plus(text), quote(text, safe="!'()*~")}
    return {
        text,
        ascii_only[1:-1],
        as_it_is[1:-1],
        json.dumps(ascii_only)[3:-3],
        json.dumps(as_it_is, ensure_ascii=False)[3:-3],
        *quoted,
    }
