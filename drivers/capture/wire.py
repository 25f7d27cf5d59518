"""The wire of one page, listened to by CDP: bodies of fetch, XHR and EventSource, frames of WebSockets.

Passive: nothing is routed or read twice, the page cannot see it. Sources of the traps are in comments.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from playwright.async_api import CDPSession, Frame, Page
from playwright.async_api import Error as PlaywrightError

from drivers.capture.connection import Connection
from drivers.capture.exchange import CANCELLED, Exchange
from drivers.capture.rule import HTTP, WEBSOCKET, StreamRule, WireActivity, WireDelta, WireReply
from drivers.capture.worker import Session, WorkerSession
from drivers.trouble import HttpFailure, retry_after

CALL_SECONDS = 10.0
MAX_ERRORS = 50
MAX_CONNECTIONS = 1000
"""Requests in flight that are remembered; the oldest is forgotten first."""
MAX_WORKERS = 32
"""Workers of one page that are listened to."""
_BUFFER_BYTES = 16_000_000
_LIMITS = {"maxTotalBufferSize": _BUFFER_BYTES, "maxResourceBufferSize": _BUFFER_BYTES // 2}
_WORKERS = [{"type": "worker", "exclude": False}]
_READ_TYPES = frozenset({"Fetch", "XHR", "EventSource", "Other"})
_SKIP_CONTENT = ("image/", "font/", "video/", "audio/", "text/css", "javascript", "wasm", "application/pdf")


@dataclass(slots=True)
class _Request:
    """A response on its way. ``pending``: pieces that came while the answer to streamResourceContent was out."""

    connection: Connection
    state: Literal["asked", "streaming", "whole"] = "asked"
    pending: list[bytes] = field(default_factory=list)
    finished: bool = False
    failure: str | None = None


class WireCapture:
    """Hears everything a page receives that may be a reply. Make one by ``await WireCapture.attach(page)``
    before the first navigation: a response that began earlier cannot be heard."""

    def __init__(self, page: Page) -> None:
        self.errors: deque[str] = deque(maxlen=MAX_ERRORS)
        self._page = page
        self._exchange = Exchange(prompt="")
        self._sessions: list[CDPSession] = []
        self._workers: dict[str, WorkerSession] = {}
        self._named = 0
        self._heard: set[Frame] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests: dict[str, _Request] = {}
        self._sockets: dict[str, Connection] = {}
        self._detached = False

    @classmethod
    async def attach(cls, page: Page) -> WireCapture:
        """Start to listen. Raises playwright's Error when the page is gone, TimeoutError after 10 s."""
        capture = cls(page)
        await capture._listen(page)
        page.on("frameattached", capture._guard(capture._on_frame))
        page.on("framenavigated", capture._guard(capture._on_frame))
        page.on("popup", capture._guard(capture._on_popup))
        return capture

    async def detach(self) -> None:
        """Stop to listen; idempotent. Never raises for a page that is gone."""
        if self._detached:
            return
        self._detached = True
        for worker in self._workers.values():
            worker.end()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for session in self._sessions:
            try:
                await asyncio.wait_for(session.detach(), CALL_SECONDS)
            except (PlaywrightError, TimeoutError) as error:
                self._note("detach", error)
        self._sessions = []

    # -- the exchange ---------------------------------------------------------------------------------

    def begin(
        self,
        prompt: str,
        rule: StreamRule | None = None,
        on_delta: Callable[[WireDelta], None] | None = None,
    ) -> None:
        """A new exchange: what was heard before is forgotten. With a rule, ``on_delta`` is called (in the
        event loop, at once) for each change of the reply; it must not block."""
        self._exchange = Exchange(prompt=prompt, rule=rule, on_delta=on_delta, began_at=self._now())

    def activity(self) -> WireActivity:
        return self._exchange.activity()

    def prove(self, page_text: str, *, part: bool = False) -> WireReply | None:
        """The text on the wire with the same words as ``page_text`` (innerText of the reply), or None.

        ``part``: of some part of the page, of which it is not known that it is the reply.
        """
        return self._exchange.prove(page_text, part=part)

    def drawn(self, page_text: str) -> bool:
        """Whether a response that has ended gave, as HTML, what the page shows of the reply, to the last word."""
        return self._exchange.drawn(page_text)

    def mentions(self, page_text: str) -> bool:
        """Whether anything that was heard holds at least half of the words of ``page_text``."""
        return self._exchange.mentions(page_text)

    def live_text(self) -> str | None:
        """The reply so far, by the rule given or found by ``follow``; None while nothing was found."""
        return self._exchange.live_text()

    def follow(self, page_text: str) -> StreamRule | None:
        """Call now and then while the reply grows and no rule is known; None until one fits."""
        return self._exchange.follow(page_text)

    # -- sessions -------------------------------------------------------------------------------------

    async def _listen(self, target: Page | Frame) -> None:
        session = await asyncio.wait_for(self._page.context.new_cdp_session(target), CALL_SECONDS)
        if self._detached:
            await session.detach()
            return
        self._sessions.append(session)
        for name, handler in self._network(session).items():
            session.on(name, handler)
        session.on("Target.attachedToTarget", self._guard(functools.partial(self._on_worker, session)))
        session.on("Target.receivedMessageFromTarget", self._guard(self._on_worker_message))
        session.on("Target.detachedFromTarget", self._guard(self._on_worker_gone))
        await asyncio.wait_for(session.send("Network.enable", _LIMITS), CALL_SECONDS)
        attach = {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": False, "filter": _WORKERS}
        await asyncio.wait_for(session.send("Target.setAutoAttach", attach), CALL_SECONDS)

    def _network(self, session: Session) -> dict[str, Callable[[dict[str, Any]], None]]:
        """What is called for each event of a session; ids of requests are its own."""
        self._named += 1
        prefix = f"{self._named}:"
        handlers: dict[str, Callable[[str, Session, dict[str, Any]], None]] = {
            "Network.requestWillBeSent": self._on_request,
            "Network.responseReceived": self._on_response,
            "Network.dataReceived": self._on_data,
            "Network.loadingFinished": self._on_finished,
            "Network.loadingFailed": self._on_failed,
            "Network.webSocketCreated": self._on_socket,
            "Network.webSocketFrameReceived": self._on_frame_received,
            "Network.webSocketFrameError": self._on_socket_error,
            "Network.webSocketClosed": self._on_socket_closed,
        }
        return {name: self._guard(functools.partial(it, prefix, session)) for name, it in handlers.items()}

    def _on_worker(self, parent: CDPSession, event: dict[str, Any]) -> None:
        if event["targetInfo"]["type"] != "worker" or len(self._workers) >= MAX_WORKERS:
            return
        key = str(event["sessionId"])
        handlers: dict[str, Callable[[dict[str, Any]], None]] = {}
        worker = self._workers[key] = WorkerSession(parent, key, handlers)
        handlers.update(self._network(worker))
        self._spawn(self._listen_worker(worker))

    async def _listen_worker(self, worker: WorkerSession) -> None:
        await asyncio.wait_for(worker.send("Network.enable", _LIMITS), CALL_SECONDS)

    def _on_worker_message(self, event: dict[str, Any]) -> None:
        worker = self._workers.get(str(event["sessionId"]))
        if worker is not None:
            worker.receive(str(event["message"]))

    def _on_worker_gone(self, event: dict[str, Any]) -> None:
        worker = self._workers.pop(str(event["sessionId"]), None)
        if worker is not None:
            worker.end()

    def _guard(self, handler: Callable[[Any], None]) -> Callable[[Any], None]:
        """Playwright 1.65 raises what a listener raises out of some later, unrelated call: let nothing through."""

        def guarded(event: Any) -> None:
            if self._detached:
                return
            try:
                handler(event)
            except Exception as error:  # noqa: BLE001
                self._note(getattr(handler, "__name__", "listener"), error)

        return guarded

    def _note(self, where: str, error: BaseException) -> None:
        self.errors.append(f"{where}: {type(error).__name__}: {error}"[:500])

    def _spawn(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            try:
                await work
            except (PlaywrightError, TimeoutError) as error:
                self._note("session", error)
            except Exception as error:  # noqa: BLE001
                self._note("task", error)

        task = asyncio.ensure_future(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_frame(self, frame: Frame) -> None:
        if frame is not self._page.main_frame and frame not in self._heard:
            self._heard.add(frame)
            self._spawn(self._listen_frame(frame))

    async def _listen_frame(self, frame: Frame) -> None:
        try:
            await self._listen(frame)
        except PlaywrightError as error:
            self._heard.discard(frame)  # heard with its parent for now; it may become a process of its own
            if "separate CDP session" not in str(error):
                self._note("frame", error)

    def _on_popup(self, popup: Page) -> None:
        self._spawn(self._listen(popup))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # -- responses ------------------------------------------------------------------------------------

    def _on_request(self, prefix: str, session: Session, event: dict[str, Any]) -> None:
        if event.get("type") in _READ_TYPES and len(self._exchange.waiting) < MAX_CONNECTIONS:
            self._exchange.waiting[prefix + str(event["requestId"])] = str(event["request"]["url"])

    def _on_response(self, prefix: str, session: Session, event: dict[str, Any]) -> None:
        response = event["response"]
        self._exchange.waiting.pop(prefix + str(event["requestId"]), None)
        if event["type"] not in _READ_TYPES:
            return
        url, status = str(response["url"]), int(response["status"])
        headers = {str(k).lower(): str(v) for k, v in response.get("headers", {}).items()}
        if status >= 400 and event["type"] != "Other":  # icons and the like
            wait = retry_after(headers.get("retry-after", ""), time.time())
            failure = HttpFailure(status=status, url=url, retry_after=wait)
            self._exchange.http_errors = [*self._exchange.http_errors[-49:], failure]
        content_type = headers.get("content-type", response.get("mimeType", "")).lower()
        if url.startswith(("data:", "blob:")) or any(mark in content_type for mark in _SKIP_CONTENT):
            return
        connection = Connection(url=url, transport=HTTP, content_type=content_type, opened_at=self._now())
        key = prefix + str(event["requestId"])
        self._requests[key] = request = _Request(connection)
        self._exchange.carried(connection, 0, self._now())
        if len(self._requests) > MAX_CONNECTIONS:
            self._requests.pop(next(iter(self._requests)))
        self._spawn(self._stream(session, key, str(event["requestId"]), request))

    async def _stream(self, session: Session, key: str, request_id: str, request: _Request) -> None:
        try:
            answer = await asyncio.wait_for(
                session.send("Network.streamResourceContent", {"requestId": request_id}), CALL_SECONDS
            )
        except PlaywrightError:
            request.state = "whole"  # it had already ended: its body can be asked for
            if request.finished:
                await self._read_whole(session, key, request_id, request)
            return
        request.state = "streaming"
        # Pieces may have been announced before this task went on: the buffered ones come first.
        for data in (base64.b64decode(answer.get("bufferedData", "")), *request.pending):
            if data:
                self._body(request.connection, data)
        request.pending = []
        if request.finished:
            self._close(key, request)

    async def _read_whole(self, session: Session, key: str, request_id: str, request: _Request) -> None:
        try:
            answer = await asyncio.wait_for(
                session.send("Network.getResponseBody", {"requestId": request_id}), CALL_SECONDS
            )
        except PlaywrightError as error:
            self._note(f"body of {request.connection.pattern}", error)
        else:
            body = answer.get("body", "")
            data = base64.b64decode(body) if answer.get("base64Encoded") else body.encode()
            if not answer.get("base64Encoded"):
                request.connection.content_type = (
                    request.connection.content_type.partition(";")[0] + ";charset=utf-8"
                )
            if data:
                self._body(request.connection, data)
        self._close(key, request)

    def _on_data(self, prefix: str, session: Session, event: dict[str, Any]) -> None:
        request = self._requests.get(prefix + str(event["requestId"]))
        if request is None or not event.get("data"):
            return
        data = base64.b64decode(event["data"])
        if request.state == "asked":
            request.pending.append(data)
        elif request.state == "streaming":
            self._body(request.connection, data)

    def _on_finished(self, prefix: str, session: Session, event: dict[str, Any]) -> None:
        request_id = str(event["requestId"])
        key = prefix + request_id
        request = self._requests.get(key)
        if request is None:
            return
        request.finished = True
        if request.state == "streaming":
            self._close(key, request)
        elif request.state == "whole":
            self._spawn(self._read_whole(session, key, request_id, request))

    def _on_failed(self, prefix: str, session: Session, event: dict[str, Any]) -> None:
        key = prefix + str(event["requestId"])
        self._exchange.waiting.pop(key, None)
        request = self._requests.get(key)
        if request is None:
            return
        request.failure = CANCELLED if event.get("canceled") else str(event.get("errorText", "failed"))
        request.finished = True
        if request.state != "asked":
            self._close(key, request)

    def _body(self, connection: Connection, data: bytes) -> None:
        if self._exchange.carried(connection, len(data), self._now()):
            self._exchange.take(connection, connection.body(data), len(data))

    def _close(self, key: str, request: _Request) -> None:
        self._requests.pop(key, None)
        connection = request.connection
        connection.failure = request.failure
        messages = connection.body(b"", final=True)
        if self._exchange.carried(connection, 0, self._now()):
            self._exchange.take(connection, messages, 0)
        connection.ended = True

    # -- sockets --------------------------------------------------------------------------------------

    def _on_socket(self, prefix: str, session: Session, event: dict[str, Any]) -> None:
        connection = Connection(url=str(event["url"]), transport=WEBSOCKET, opened_at=self._now())
        self._sockets[prefix + str(event["requestId"])] = connection
        if len(self._sockets) > MAX_CONNECTIONS:
            self._sockets.pop(next(iter(self._sockets)))

    def _on_frame_received(self, prefix: str, session: Session, event: dict[str, Any]) -> None:
        connection = self._sockets.get(prefix + str(event["requestId"]))
        if connection is None:
            return
        frame = event["response"]
        opcode, payload = int(frame["opcode"]), str(frame["payloadData"])
        if opcode not in (1, 2):
            return
        data_or_text: str | bytes = payload if opcode == 1 else base64.b64decode(payload)
        if self._exchange.carried(connection, len(data_or_text), self._now()):
            self._exchange.take(connection, connection.frame(data_or_text), len(data_or_text))

    def _on_socket_error(self, prefix: str, session: Session, event: dict[str, Any]) -> None:
        connection = self._sockets.get(prefix + str(event["requestId"]))
        if connection is not None:
            connection.failure = str(event.get("errorMessage", "failed"))

    def _on_socket_closed(self, prefix: str, session: Session, event: dict[str, Any]) -> None:
        connection = self._sockets.pop(prefix + str(event["requestId"]), None)
        if connection is not None:
            connection.closed = True
            self._exchange.carried(connection, 0, connection.last_byte_at or self._now())
