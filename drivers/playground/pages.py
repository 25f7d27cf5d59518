"""The pages: the chat in its variants, the frame around it, login wall, challenge, static files."""

import html
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.enums import RequestEncodingType
from litestar.handlers import HTTPRouteHandler
from litestar.params import Body
from litestar.response import Redirect
from msgspec import Struct

from drivers.playground.api import CHALLENGE_COOKIE, LOGIN_COOKIE, parse_via, passed_gates
from drivers.playground.conversations import ConversationId, Refused
from drivers.playground.prompt import Fault, parse_fault
from drivers.playground.site import Site

STATIC = Path(__file__).parent / "static"
UI_FLAGS = frozenset({"textarea", "contenteditable", "shadow", "iframe", "crossframe", "nocopy"})
DEFAULT_HYDRATION_SECONDS = 3.0
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class PageConfig(Struct, frozen=True, kw_only=True):
    """What the page's script is told. `hydrate` is in seconds; `fault` goes back with each prompt."""

    conversation: str
    ui: tuple[str, ...]
    via: str
    fault: str
    hydrate: float
    absent: bool
    framed: bool


class GateForm(Struct, frozen=True, kw_only=True):
    next: str = "/"
    user: str = ""
    password: str = ""


AnyRequest = Request[None, None, object]  # type: ignore[type-var]
Form = Annotated[GateForm, Body(media_type=RequestEncodingType.URL_ENCODED)]


def parse_ui(text: str) -> tuple[str, ...]:
    """Raises `Refused` 400, naming the flag that does not exist."""
    flags = tuple(sorted({flag for flag in text.split(",") if flag and flag != "textarea"}))
    for flag in flags:
        if flag not in UI_FLAGS:
            raise Refused(400, f"ui: {flag!r} is none of {', '.join(sorted(UI_FLAGS))}")
    return flags


def routes(site: Site) -> list[HTTPRouteHandler]:
    """The handlers, bound to `site`."""

    def chat(request: AnyRequest, conversation: str, *, framed: bool) -> Response[str] | Redirect:
        query = request.query_params
        ui, via = query.get("ui"), query.get("via")
        if conversation:
            begun = site.library.find(ConversationId(conversation))
            ui, via = ui or begun.ui, via or begun.via
        flags, transport = parse_ui(ui or ""), parse_via(via or "sse")
        word = query.get("fault", "")
        fault, argument = parse_fault(word)
        if word and fault is Fault.NONE:
            raise Refused(400, f"fault: {word!r} is none of {', '.join(f for f in Fault if f != 'none')}")
        passed = passed_gates(request.cookies)
        here = msgspec.json.encode(f"{request.url.path}?{request.url.query}").decode().strip('"')
        if not framed and fault is Fault.LOGIN and not passed.login:
            return Redirect("/login", query_params={"next": here})
        if not framed and fault is Fault.CHALLENGE and not passed.challenge:
            return Redirect("/challenge", query_params={"next": here})
        slow = fault in (Fault.SLOWHYDRATE, Fault.ABSENT)
        config = PageConfig(
            conversation=conversation,
            ui=flags,
            via=transport,
            fault=word,
            hydrate=(DEFAULT_HYDRATION_SECONDS if argument is None else argument) if slow else 0.0,
            absent=fault is Fault.ABSENT,
            framed=framed,
        )
        outer = not framed and not {"iframe", "crossframe"}.isdisjoint(flags)
        return _page("frame.html" if outer else "chat.html", config=msgspec.json.encode(config).decode())

    @get("/")
    async def new_chat(request: AnyRequest) -> Response[str] | Redirect:
        return chat(request, "", framed=False)

    @get("/c/{conversation_id:str}")
    async def old_chat(conversation_id: str, request: AnyRequest) -> Response[str] | Redirect:
        return chat(request, conversation_id, framed=False)

    @get("/frame")
    async def new_framed(request: AnyRequest) -> Response[str] | Redirect:
        return chat(request, "", framed=True)

    @get("/frame/c/{conversation_id:str}")
    async def old_framed(conversation_id: str, request: AnyRequest) -> Response[str] | Redirect:
        return chat(request, conversation_id, framed=True)

    @get("/login")
    async def login_wall(request: AnyRequest) -> Response[str]:
        return _page("login.html", next=request.query_params.get("next", "/"))

    @post("/login", status_code=303)
    async def login(data: Form) -> Redirect:
        return _through(data, LOGIN_COOKIE, 303)

    @get("/challenge")
    async def challenge_page(request: AnyRequest) -> Response[str]:
        return _page("challenge.html", 403, next=request.query_params.get("next", "/"))

    @post("/challenge", status_code=303)
    async def challenge(data: Form) -> Redirect:
        return _through(data, CHALLENGE_COOKIE, 303)

    @get("/static/{name:str}")
    async def static(name: str) -> Response[bytes]:
        path = STATIC / name
        media_type = _MEDIA_TYPES.get(path.suffix)
        if path.parent != STATIC or media_type is None or not path.is_file():
            raise Refused(404, f"there is no file {name!r} here")
        return Response(path.read_bytes(), media_type=media_type, headers={"Cache-Control": "no-cache"})

    return [new_chat, old_chat, new_framed, old_framed, login_wall, login, challenge_page, challenge, static]


def _page(name: str, status: int = 200, **values: str) -> Response[str]:
    text = (STATIC / name).read_text(encoding="utf-8")
    for key, value in values.items():
        # JSON inside a script element must not be able to close it.
        safe = value.replace("<", "\\u003c") if key == "config" else html.escape(value)
        text = text.replace(f"{{{{{key}}}}}", safe)
    return Response(text, media_type="text/html", status_code=status, headers={"Cache-Control": "no-store"})


def _through(form: GateForm, cookie: str, status: Literal[303]) -> Redirect:
    target = form.next if form.next.startswith("/") and not form.next.startswith("//") else "/"
    return Redirect(target, status_code=status, cookies=[Cookie(cookie, value="1", path="/", samesite="lax")])
