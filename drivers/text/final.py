"""The ladder of final texts: the wire, the page's own copy, the DOM; the first that is proved."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib.resources import files

from playwright.async_api import ElementHandle, Frame, Page
from playwright.async_api import Error as PlaywrightError

from drivers.capture import WireCapture, WireReply
from drivers.text.copying import copied_text
from drivers.text.markdown import html_to_markdown
from kernel.tasks import ReplySource

_FLATTEN = (files("drivers.text") / "flatten.js").read_text("utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalText:
    """A reply's Markdown. ``exact``: word for word what the page shows, in the bytes the provider sent or the
    page copied; False for a text rebuilt from the DOM. ``why``: the evidence, for people. ``wire``: the proof
    and the rule, where it came from the wire."""

    text: str
    source: ReplySource
    exact: bool
    why: str
    wire: WireReply | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyDom:
    """A reply as the page draws it: cleaned ``html``, its ``text`` by lines, and the browser's ``inner_text``.
    ``verbatim``: the page shows nothing but this text with its blanks, so it is no HTML to convert."""

    html: str
    text: str
    inner_text: str
    verbatim: bool = False

    def markdown(self) -> str:
        """The Markdown rebuilt from what is drawn, ending in one newline; "" when nothing is."""
        made = "" if self.verbatim else html_to_markdown(self.html)
        shown = (self.text if self.text.strip() else self.inner_text).strip()
        return made or (shown + "\n" if shown else "")


async def reply_dom(reply_element: ElementHandle) -> ReplyDom:
    """Read a reply's DOM through open shadow roots and slots. Raises playwright's Error when it is gone."""
    flat = await reply_element.evaluate(_FLATTEN)
    inner = await reply_element.evaluate("el => (el.innerText ?? el.textContent ?? '').toWellFormed()")
    return ReplyDom(
        html=str(flat["html"]), text=str(flat["text"]), inner_text=str(inner), verbatim=bool(flat["verbatim"])
    )


async def reply_words(reply_element: ElementHandle) -> str:
    """What a reader sees of a reply, without controls and labels, blocks on lines of their own; for
    ``WireCapture.prove`` and ``follow``. Raises playwright's Error when the element is gone."""
    return (await reply_dom(reply_element)).text


def prove_reply(wire: WireCapture, dom: ReplyDom) -> WireReply | None:
    """The best proof by either reading of the page."""
    best: WireReply | None = None
    for text in dict.fromkeys((dom.text, dom.inner_text)):
        found = wire.prove(text) if text.strip() else None
        if found is not None and (best is None or (found.exact, found.score) > (best.exact, best.score)):
            best = found
            if found.exact:
                break
    return best


async def final_text(
    page_or_frame: Page | Frame,
    reply_element: ElementHandle,
    wire: WireCapture | None,
    *,
    prompt: str,
    timeout_s: float,
) -> FinalText:
    """The reply's text by the best evidence there is. The wire's text is kept byte for byte.

    Raises TimeoutError after ``timeout_s`` seconds, playwright's Error when the element is gone.
    """
    async with asyncio.timeout(timeout_s):
        dom = await reply_dom(reply_element)
        if wire is not None:
            found = prove_reply(wire, dom)
            if found is not None:
                return FinalText(
                    text=found.text, source=ReplySource.WIRE, exact=found.exact, why=found.why, wire=found
                )
        shown = dom.text if dom.text.strip() else dom.inner_text
        why = "nothing on the wire is proved" if wire is not None else "no wire was heard"
        if shown.strip():
            try:
                copied = await copied_text(reply_element, shown)
            except PlaywrightError as error:
                copied, why = None, f"{why}; the copy control failed: {error.message.splitlines()[0]}"
            if copied is not None and copied[0].strip() != prompt.strip():
                text, verdict = copied
                return FinalText(
                    text=text,
                    source=ReplySource.COPY,
                    exact=verdict.exact,
                    why=f"copied by the page: {verdict.why}",
                )
        return FinalText(
            text=dom.markdown(), source=ReplySource.DOM, exact=False, why=f"{why}; rebuilt from the page"
        )
