"""How likely an element is the chat's input, its send control, or the bubble that opens a chat. Scores 0 to 1."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from drivers.locate.snapshot import Candidate, PageSnapshot

_ASKING = re.compile(
    r"messag|prompt|\bask|chat|reply|question|type (here|something|your)|write (here|something|your|a)|"
    r"how can i help|say something|talk to|compose|nachricht|frag|schreib|pregunt|mensaje|escrib|"
    r"demand|posez|écri|scriv|domand|pergunt|mensag|escrev|сообщ|спрос|напиш|消息|输入|问|発言|質問|메시지|보내"
)
_SEARCHING = re.compile(r"search|filter|\bfind\b|such|buscar|recherch|cerca|pesquis|поиск|搜索|検索|검색")
_PERSONAL = re.compile(
    r"e-?mail|password|passwort|user ?name|\blogin|phone|address|first name|last name|coupon|"
    r"newsletter|subscribe|feedback|title|rename|\burl\b|https?:|api.?key|token|system prompt|instructions"
)
_SENDING = re.compile(
    r"\bsend\b|send[-_]|[-_]send|sendmessage|\bsubmit\b|\bask\b|arrow[-_ ]?up|"
    r"paper[-_ ]?plane|\bpost\b|\brun\b|\bgo\b|senden|abschicken|envoyer|"
    r"enviar|invia|verzenden|отправ|发送|送信|보내|전송|➤|➢|▶|►|↑|⬆|→|⏎|↵|✈"
)
_NOT_SENDING = re.compile(
    r"attach|upload|file|image|photo|micro|mic\b|voice|audio|speech|record|dictat|emoji|clear|reset|delete|trash|"
    r"undo|retry|regenerate|again|stop|cancel|copy|share|menu|setting|theme|dark|light|model|tool|"
    r"search|new (chat|thread)|"
    r"sidebar|history|login|sign|plus|add|expand|collapse|close|feedback|like|thumb|download|print|edit|flag|scroll|down|camera|help|info|home|back"
)
_CHATTING = re.compile(
    r"chat|messag|help|support|assist|ask|talk|bot|question|conversation|💬|🗨|🤖|nachricht|hilfe|ayuda|aide"
)


def input_score(it: Candidate, page: PageSnapshot) -> float:
    """Scores the input box. Hidden ones get 0; what asks for something else than a message gets little."""
    if not it.visible or it.type == "password" or it.tag == "select":
        return 0.0
    if it.width < 40 or it.height < 10:
        return 0.0
    score = 0.3
    if it.tag == "textarea" or it.editable:
        score += 0.2
    elif it.tag == "input":
        score += 0.05 if it.type in ("", "text") else -0.2
    words = it.words
    if _ASKING.search(words):
        score += 0.25
    if _SEARCHING.search(words) or it.searching or it.type == "search" or it.role == "searchbox":
        score -= 0.3
    if _PERSONAL.search(f"{it.label} {it.placeholder} {it.type}".lower()) or it.form_password:
        score -= 0.3
    if it.type in ("email", "url", "tel", "number"):
        score -= 0.2
    if it.banner:
        score -= 0.15
    if it.covered:
        score -= 0.05
    if it.focused:
        score += 0.08
    if it.disabled:
        score -= 0.1
    if page.height:
        middle = (it.y + it.height / 2) / page.height
        score += 0.12 if middle > 0.6 else 0.04 if middle > 0.35 else -0.04
    if page.width and it.width > 0.3 * page.width:
        score += 0.08
    elif it.width < 120:
        score -= 0.1
    if any(_distance(it, c) < 120 and c.visible and _SENDING.search(c.words) for c in page.controls):
        score += 0.12
    return min(1.0, max(0.0, score))


def send_score(it: Candidate, box: Candidate, appeared: bool = False) -> float:
    """Scores a control as the one that sends what ``box`` holds. ``appeared``: shown or enabled by typing."""
    if not it.visible or it.disabled:
        return 0.0
    distance = _distance(it, box)
    if distance > 400:
        return 0.0
    score = 0.2 + 0.3 * math.exp(-distance / 80)
    plain = f"{it.label} {it.text}".lower().strip()
    words = it.words
    if _SENDING.search(words):
        score += 0.3
    if _NOT_SENDING.search(plain) and not _SENDING.search(plain):
        score -= 0.45
    elif not plain and _NOT_SENDING.search(words) and not _SENDING.search(words):
        score -= 0.2
    if it.submit and (not box.form or it.form == box.form):
        score += 0.2
    if appeared:
        score += 0.25
    if it.icon and not it.text:
        score += 0.05
    # Send stands at the right of the box or at its lower right corner, on nearly every page.
    if it.x + it.width / 2 > box.x + 0.6 * box.width:
        score += 0.1
    if it.y + it.height < box.y - 20:
        score -= 0.2
    if it.banner:
        score -= 0.15
    return min(1.0, max(0.0, score))


def launcher_score(it: Candidate, page: PageSnapshot) -> float:
    """Scores the bubble of a closed chat: a small control in a lower corner, or one that says chat."""
    if not it.visible or it.disabled:
        return 0.0
    score = 0.0
    low = page.height and it.y + it.height / 2 > 0.7 * page.height
    side = page.width and (it.x > 0.7 * page.width or it.x + it.width < 0.3 * page.width)
    if low and side:
        score += 0.4
    if 30 <= it.width <= 140 and 30 <= it.height <= 90:
        score += 0.1
    if _CHATTING.search(it.words):
        score += 0.3
    if it.icon:
        score += 0.1
    if it.submit or it.banner:
        score -= 0.2
    return min(1.0, max(0.0, score))


def rank_inputs(page: PageSnapshot) -> list[tuple[float, Candidate]]:
    """Candidates for the input box, best first; those without a chance are left out."""
    return _ranked([(input_score(it, page), it) for it in page.inputs], floor=0.15)


def rank_sends(
    page: PageSnapshot, box: Candidate, before: PageSnapshot | None = None
) -> list[tuple[float, Candidate]]:
    """Candidates for the send control, best first. ``before``: the page before anything was typed."""
    enabled = {c.signature for c in before.controls if c.visible and not c.disabled} if before else None
    return _ranked(
        [
            (send_score(it, box, appeared=enabled is not None and it.signature not in enabled), it)
            for it in page.controls
        ],
        floor=0.35,
    )


def rank_launchers(page: PageSnapshot) -> list[tuple[float, Candidate]]:
    """Candidates for the bubble of a closed chat, best first."""
    return _ranked([(launcher_score(it, page), it) for it in page.controls], floor=0.4)


def _ranked(scored: Sequence[tuple[float, Candidate]], floor: float) -> list[tuple[float, Candidate]]:
    return sorted((pair for pair in scored if pair[0] >= floor), key=lambda pair: -pair[0])


def _distance(a: Candidate, b: Candidate) -> float:
    """Gap between two boxes in pixels; 0 where they touch or overlap."""
    dx = max(a.x - (b.x + b.width), b.x - (a.x + a.width), 0.0)
    dy = max(a.y - (b.y + b.height), b.y - (a.y + a.height), 0.0)
    return math.hypot(dx, dy)
