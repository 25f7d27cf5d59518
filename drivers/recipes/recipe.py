"""A recipe: how to work a provider's page. Plain data, the same in memory and in TOML."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from drivers.capture.rule import StreamRule


class Origin(StrEnum):
    """Who wrote a recipe."""

    SHIPPED = "shipped"
    DISCOVERED = "discovered"
    USER = "user"


class SendWay(StrEnum):
    """How a prompt is sent."""

    CLICK = "click"
    ENTER = "enter"
    CTRL_ENTER = "ctrl_enter"


class Locator(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A path of CSS selectors; each step but the first is looked up inside the shadow root of the step before.

    ``score`` (0 to 1): how likely it is to survive changes of the page.
    """

    path: tuple[str, ...]
    score: float = 0.5


class FrameRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which frame holds the chat: by name, else by address (scheme, host and path). Empty: the page itself."""

    name: str = ""
    address: str = ""


class Locators(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Where things are, best first. ``reply`` names a kind of element (every reply), the others exactly one."""

    input: tuple[Locator, ...]
    send: tuple[Locator, ...] = ()
    reply: tuple[Locator, ...] = ()
    stop: tuple[Locator, ...] = ()
    launcher: tuple[Locator, ...] = ()
    """What must be clicked before the input is there: the bubble of a closed chat."""


class Completion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Learned signs. Signatures are ``tag|label|icon|on/off`` of controls, as the page agent writes them.

    ``busy``: seen only while a reply is made. ``settled``: added to the idle page once a reply is there;
    ``gone``: taken from it. ``learned``: these three were seen in an exchange; without it they say nothing.
    ``quiet``: seconds of unchanged text that count as the end where no sign is known.
    """

    busy: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    quiet: float = 5.0
    actions: bool = False
    """Controls of the reply (copy, again…) appear only when it is complete."""
    learned: bool = False
    stream_ends: bool = False
    """The response that carries a reply ends together with it: while it is open, the reply goes on."""
    in_answer: bool = False
    """It is the response to the request that carries the prompt, no other: nothing in it is an empty reply."""
    request_stays: bool = False
    """The request that carries the prompt is not answered in full when the reply is over."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """``prompt_chars`` 0: not known.

    ``stall``: seconds without any sign of life, after which a reply that began is taken for cut off.
    """

    prompt_chars: int = 0
    stall: float = 120.0
    first_sign: float = 180.0
    """Seconds a page may think before anything of a reply shows."""


class Proof(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The exchange that proved a recipe. ``at`` is an ISO date-time."""

    at: str
    probe: str
    chars: int
    source: str
    signs: tuple[str, ...] = ()


class Recipe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How to work one provider."""

    name: str
    address: str
    origin: Origin = Origin.USER
    tried_live: bool = False
    locators: Locators
    send: SendWay = SendWay.ENTER
    frame: FrameRule = FrameRule()
    stream: StreamRule | None = None
    completion: Completion = Completion()
    limits: Limits = Limits()
    history: bool = False
    """The page lists its conversations by the beginning of their prompts (learned). Only then does the absence
    of a prompt from a list that is not empty prove that the page did not take it."""
    one_thread: bool = False
    """A new page shows the conversation of before (learned), so all prompts go into one: its tasks take turns, or
    the answer to one could be taken for that to another."""
    models: tuple[str, ...] = ()
    proof: Proof | None = None

    def summary(self) -> dict[str, str]:
        """What `provider add` shows of it: each value one line."""
        proof = self.proof
        return {
            "name": self.name,
            "address": self.address,
            "input": _shown(self.locators.input),
            "send": f"{self.send.value}: {_shown(self.locators.send)}"
            if self.send is SendWay.CLICK
            else self.send.value,
            "reply": _shown(self.locators.reply),
            "stream": f"{self.stream.transport} {self.stream.framing} {self.stream.path}"
            if self.stream
            else "page only",
            "turns": "one task at a time: every page shows the same conversation"
            if self.one_thread
            else "several tasks at a time",
            "proof": f"{proof.chars} characters by {proof.source}; signs: {', '.join(proof.signs)}"
            if proof
            else "none",
        }


def _shown(locators: tuple[Locator, ...]) -> str:
    return " >>> ".join(locators[0].path) if locators else "found anew each time"
