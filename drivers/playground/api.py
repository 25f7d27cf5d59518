"""The HTTP interface: send, follow, resume, stop, history, statistics."""

import re
from collections.abc import AsyncIterator

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream
from msgspec import Struct

from drivers.playground.conversations import Conversation, ConversationId, Phase, Refused, Stats, Turn, Update
from drivers.playground.markdown import to_html
from drivers.playground.site import Passed, SendRequest, Site
from drivers.playground.wire import STREAMED, Delta, End, Event, Failed, Replace, Start, Via

LOGIN_COOKIE = "playground_login"
CHALLENGE_COOKIE = "playground_human"
RETRY_AFTER_SECONDS = 2
_CONVERSATION_ID = re.compile(r"[0-9a-z-]{8,64}")


class ConnectionCut(Exception):
    """Raised into a response to drop its connection: the fault `cut`."""


class TurnView(Struct, frozen=True, kw_only=True):
    """A turn in a history: `text` is Markdown, or HTML made by the server for the transport `dom`."""

    prompt: str
    text: str
    phase: Phase
    revision: int
    offset: int
    error: str


class ConversationView(Struct, frozen=True, kw_only=True):
    id: str
    title: str
    address: str
    turns: tuple[TurnView, ...] = ()


class Done(Struct, frozen=True, kw_only=True):
    done: bool


AnyRequest = Request[None, None, object]  # type: ignore[type-var]


def passed_gates(cookies: dict[str, str]) -> Passed:
    return Passed(login=LOGIN_COOKIE in cookies, challenge=CHALLENGE_COOKIE in cookies)


def address_of(conversation: Conversation) -> str:
    """Where the conversation is shown; the server remembers the variant it was begun with."""
    return f"/c/{conversation.id}"


def checked(data: SendRequest) -> tuple[SendRequest, Via]:
    """Raises `Refused` 400 for what the page's own script would never send."""
    if not _CONVERSATION_ID.fullmatch(data.conversation):
        raise Refused(400, "conversation: 8 to 64 characters of 0-9, a-z and '-' are needed")
    if not re.fullmatch(r"[a-z,]{0,80}", data.ui):
        raise Refused(400, "ui: a comma-separated list of variants is needed")
    return data, parse_via(data.via)


def parse_via(text: str) -> Via:
    try:
        return Via(text)
    except ValueError:
        raise Refused(400, f"via: {text!r} is none of {', '.join(Via)}") from None


async def follow(site: Site, turn: Turn, revision: int, offset: int) -> AsyncIterator[Event]:
    """The events of a reply from (revision, offset) to its end. Raises `ConnectionCut` where asked."""
    async for update in site.generations.watch(turn, revision, offset):
        if update.replaces:
            yield Replace(text=update.text)
        elif update.text:
            yield Delta(text=update.text)
        if update.offset >= turn.half and turn.take_cut():
            raise ConnectionCut
        if update.phase is Phase.FAILED:
            yield Failed(message=update.error)
        elif update.phase is not Phase.GENERATING:
            yield End(phase=update.phase)


async def _cut() -> AsyncIterator[bytes]:
    yield b" "
    raise ConnectionCut


def routes(site: Site) -> list[HTTPRouteHandler]:
    """The handlers, bound to `site`."""

    def last_turn(conversation_id: str) -> Turn:
        return site.library.find(ConversationId(conversation_id)).turns[-1]

    def stream(turn: Turn, via: Via, revision: int, offset: int, start: Start | None) -> Stream:
        wire = STREAMED[via]

        async def body() -> AsyncIterator[bytes]:
            if start is not None and (first := wire.encode(start)):
                yield first
            async for event in follow(site, turn, revision, offset):
                if isinstance(event, Failed) and via is Via.CHUNKED:
                    raise ConnectionCut
                if encoded := wire.encode(event):
                    yield encoded

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        if start is not None:
            headers["X-Half"] = str(start.half)
            headers["X-Page-Fault"] = start.page_fault
            headers["X-Argument"] = "" if start.argument is None else str(start.argument)
        return Stream(body, media_type=wire.media_type, headers=headers, status_code=200)

    @post("/api/send", status_code=200)
    async def send(data: SendRequest, request: AnyRequest) -> Response[Start] | Stream:
        data, via = checked(data)
        turn, start = site.accept(data, passed_gates(request.cookies))
        if via in STREAMED and via is not Via.EVENTSOURCE:
            return stream(turn, via, 0, 0, start)
        return Response(start)

    @get("/api/conversations/{conversation_id:str}/stream")
    async def resume(conversation_id: str, via: str = "sse", revision: int = 0, offset: int = 0) -> Stream:
        wanted = parse_via(via)
        if wanted not in STREAMED:
            raise Refused(400, f"via: {via!r} does not stream over HTTP")
        return stream(last_turn(conversation_id), wanted, revision, offset, None)

    @get("/api/conversations/{conversation_id:str}/poll")
    async def poll(conversation_id: str, revision: int = 0, offset: int = 0) -> Response[Update] | Stream:
        turn = last_turn(conversation_id)
        update = turn.since(revision, offset)
        if update.offset >= turn.half and turn.take_cut():
            return Stream(_cut, media_type="application/json")
        return Response(update)

    @get("/api/conversations/{conversation_id:str}/html")
    async def html(conversation_id: str) -> Response[str] | Stream:
        turn = last_turn(conversation_id)
        if len(turn.text) >= turn.half and turn.take_cut():
            return Stream(_cut, media_type="text/html")
        headers = {"X-Phase": str(turn.phase), "X-Length": str(len(turn.text)), "Cache-Control": "no-store"}
        return Response(to_html(turn.text), media_type="text/html", headers=headers)

    @post("/api/conversations/{conversation_id:str}/stop", status_code=200)
    async def stop(conversation_id: str) -> Done:
        return Done(done=site.generations.stop(last_turn(conversation_id)))

    @get("/api/conversations/{conversation_id:str}/turns/{number:int}/markdown")
    async def markdown(conversation_id: str, number: int) -> Response[str]:
        turns = site.library.find(ConversationId(conversation_id)).turns
        if not 0 <= number < len(turns):
            raise Refused(404, f"turn: the conversation has {len(turns)} turns, counted from 0")
        return Response(turns[number].text, media_type="text/plain")

    @get("/api/conversations")
    async def conversations(limit: int = 50) -> list[ConversationView]:
        newest = site.library.newest_first()[: max(0, limit)]
        return [ConversationView(id=c.id, title=c.title, address=address_of(c)) for c in newest]

    @get("/api/conversations/{conversation_id:str}")
    async def history(conversation_id: str, via: str = "sse") -> ConversationView:
        conversation = site.library.find(ConversationId(conversation_id))
        as_html = parse_via(via) is Via.DOM
        return ConversationView(
            id=conversation.id,
            title=conversation.title,
            address=address_of(conversation),
            turns=tuple(view(turn, as_html=as_html) for turn in conversation.turns),
        )

    @get("/api/stats")
    async def stats() -> Stats:
        return site.library.stats()

    @get("/healthz")
    async def healthz() -> Response[str]:
        return Response("ok\n", media_type="text/plain")

    return [send, resume, poll, html, stop, markdown, conversations, history, stats, healthz]


def view(turn: Turn, *, as_html: bool) -> TurnView:
    return TurnView(
        prompt=turn.prompt,
        text=to_html(turn.text) if as_html else turn.text,
        phase=turn.phase,
        revision=turn.revision,
        offset=len(turn.text),
        error=turn.error,
    )
