"""The ASGI application: all routes, and one form of error for everything that is refused."""

from litestar import Litestar, Request, Response
from msgspec import Struct

from drivers.playground import api, pages, websocket
from drivers.playground.conversations import Refused
from drivers.playground.site import Site

MAX_BODY_BYTES = 4 * 1024 * 1024


class Problem(Struct, frozen=True, kw_only=True):
    """The body of every refusal."""

    code: int
    reason: str


AnyRequest = Request[None, None, object]  # type: ignore[type-var]


def make_app(site: Site) -> Litestar:
    def refused(_: AnyRequest, error: Refused) -> Response[Problem]:
        headers = {"Retry-After": str(api.RETRY_AFTER_SECONDS)} if error.code in (429, 503) else {}
        return Response(
            Problem(code=error.code, reason=error.reason),
            status_code=error.code,
            headers=headers,
            media_type="application/json",
        )

    return Litestar(
        route_handlers=[*pages.routes(site), *api.routes(site), websocket.route(site)],
        exception_handlers={Refused: refused},
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=None,
        logging_config=None,
    )
