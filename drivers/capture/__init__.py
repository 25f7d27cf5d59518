"""What travels on the wire of a chat page, and which of it is proved to be the reply. Knows a Playwright page;
no bus, no tasks, no recipes' files, and nothing of where things stand on the page may come in."""

from typing import TYPE_CHECKING, Any

from drivers.capture.connection import Connection
from drivers.capture.exchange import Exchange
from drivers.capture.proof import Verdict, compare
from drivers.capture.rule import StreamActivity, StreamRule, WireActivity, WireDelta, WireReply, url_pattern

if TYPE_CHECKING:
    from drivers.capture.wire import WireCapture

__all__ = (
    "Connection",
    "Exchange",
    "StreamActivity",
    "StreamRule",
    "Verdict",
    "WireActivity",
    "WireCapture",
    "WireDelta",
    "WireReply",
    "compare",
    "url_pattern",
)


def __getattr__(name: str) -> Any:
    """The capture itself needs Playwright; rules and proofs are read by processes that have no browser."""
    if name == "WireCapture":
        from drivers.capture.wire import WireCapture

        return WireCapture
    raise AttributeError(name)
