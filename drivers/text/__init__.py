"""The final text of a reply, by the best evidence at hand. Reads one element of a page and asks the capture; no
bus, no tasks beyond their words, and no search for the reply may come in."""

from drivers.text.final import FinalText, ReplyDom, final_text, prove_reply, reply_dom, reply_words
from drivers.text.markdown import html_to_markdown

__all__ = (
    "FinalText",
    "ReplyDom",
    "final_text",
    "html_to_markdown",
    "prove_reply",
    "reply_dom",
    "reply_words",
)
