"""What goes wrong on a page: the error that carries it, and how it is told apart by structure."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import parsedate_to_datetime

import msgspec

from kernel.tasks import Stage, TaskError, TroubleKind


class Trouble(Exception):
    """An attempt failed. ``error.stage`` says how far the prompt came at this attempt."""

    def __init__(self, error: TaskError) -> None:
        super().__init__(f"{error.kind}: {error.reason}")
        self.error = error

    @property
    def kind(self) -> TroubleKind:
        return self.error.kind

    def at(self, stage: Stage) -> Trouble:
        """The same trouble, told with the stage that the prompt had reached."""
        return (
            self if self.error.stage is stage else Trouble(msgspec.structs.replace(self.error, stage=stage))
        )

    def refused(self) -> Trouble:
        """The same trouble, with the proof that nobody has the prompt."""
        return Trouble(msgspec.structs.replace(self.error, stage=Stage.NONE, refused=True))


def trouble(
    kind: TroubleKind, reason: str, *, stage: Stage = Stage.NONE, retry_after: float | None = None
) -> Trouble:
    return Trouble(TaskError(kind=kind, reason=reason, stage=stage, retry_after=retry_after))


RATE_LIMIT_SECONDS = 60.0
"""Assumed wait after an HTTP 429 that names none."""


class HttpFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A request of the page that was answered with an error status. ``retry_after``: seconds, if it named them."""

    status: int
    url: str
    retry_after: float | None = None


REFUSALS = frozenset({401, 403, 429})
"""With these a server says that it has not done what was asked."""


def retry_after(header: str, now: float) -> float | None:
    """The seconds that a ``Retry-After`` header asks for: a number, or a date. ``now``: seconds since the epoch."""
    header = header.strip()
    if header.isascii() and header.isdigit():
        return float(header[:9])
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def from_http(failures: Sequence[HttpFailure], *, said_prompt: bool) -> Trouble | None:
    """The trouble that failed requests of this exchange amount to, newest first; None if they are no sign.

    Pages make many requests that may fail without harm (telemetry, avatars): only 429, and, where the page
    shows no reply (``said_prompt``: it was asked), 401, 403 and 5xx count.
    """
    for failure in reversed(failures):
        where = f"HTTP {failure.status} from {failure.url[:120]}"
        if failure.status == 429:
            wait = RATE_LIMIT_SECONDS if failure.retry_after is None else failure.retry_after
            return trouble(TroubleKind.RATE_LIMIT, where, retry_after=wait)
        if not said_prompt:
            continue
        if failure.status in (401, 403):
            return trouble(TroubleKind.LOGIN_WALL, where)
        if failure.status >= 500:
            return trouble(TroubleKind.ERROR_DIALOG, where)
    return None


_CHALLENGE_FRAMES = (
    "challenges.cloudflare.com",
    "hcaptcha.com",
    "/recaptcha/",
    "arkoselabs.com",
    "captcha-delivery.com",
)
_CHALLENGE_PATHS = ("/cdn-cgi/challenge-platform", "__cf_chl")


class PageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a page without a usable input shows of itself. ``frames`` are addresses; ``status`` of the document."""

    url: str
    frames: tuple[str, ...] = ()
    status: int | None = None
    passwords: int = 0
    inputs: int = 0
    dialogs: tuple[str, ...] = ()
    challenge_marks: int = 0


def from_page(facts: PageFacts) -> Trouble | None:
    """Why a page offers no input: a challenge, a login wall, a refusal by status; None if nothing explains it."""
    challenged = any(mark in frame for frame in facts.frames for mark in _CHALLENGE_FRAMES)
    if facts.challenge_marks or any(mark in facts.url for mark in _CHALLENGE_PATHS):
        challenged = True
    if challenged:
        return trouble(TroubleKind.CHALLENGE, f"{facts.url} asks for a proof that a person is there")
    if facts.status == 429:
        return trouble(TroubleKind.RATE_LIMIT, f"HTTP 429 from {facts.url}", retry_after=RATE_LIMIT_SECONDS)
    if facts.passwords or facts.status in (401, 403):
        return trouble(TroubleKind.LOGIN_WALL, f"{facts.url} asks for a login")
    if facts.status is not None and facts.status >= 500:
        return trouble(TroubleKind.UNREACHABLE, f"HTTP {facts.status} from {facts.url}")
    if facts.status in (404, 410):
        return trouble(TroubleKind.UNREACHABLE, f"HTTP {facts.status} from {facts.url}")
    if facts.dialogs:
        return trouble(TroubleKind.ERROR_DIALOG, f"a dialog is in the way: {facts.dialogs[0][:160]}")
    return None
