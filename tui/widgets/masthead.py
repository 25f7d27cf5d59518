"""The two lines at the top: which cluster, how old what we know is, and the totals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.style import Style
from rich.text import Text
from textual.widget import Widget

from kernel.tasks import TaskState
from tui.formats import age, number, one_line, sparkline
from tui.looks import FAINT, LINK_LOOKS, RULE, STYLES, TASK_LOOKS, Tone
from tui.model import ClusterModel, LinkState

_TOTALS = (
    (TaskState.PENDING, "waiting"),
    (TaskState.RUNNING, "running"),
    (TaskState.RETRY, "retry"),
    (TaskState.FAILED, "failed"),
    (TaskState.DONE, "done"),
    (TaskState.DEAD, "dead"),
    (TaskState.CANCELLED, "cancelled"),
)
_ALWAYS = (TaskState.PENDING, TaskState.RUNNING, TaskState.DONE, TaskState.DEAD)
_SEPARATOR = (" │ ", RULE)


class Masthead(Widget):
    """Draws :func:`link_line` and :func:`totals_line`."""

    def __init__(
        self, model: ClusterModel, clock: Callable[[], float], *, read_only: bool, **named: Any
    ) -> None:
        super().__init__(**named)
        self._model = model
        self._clock = clock
        self._read_only = read_only

    def render(self) -> Text:
        now, width = self._clock(), self.content_size.width
        first = link_line(self._model, now, width, read_only=self._read_only)
        return Text("\n").join((first, totals_line(self._model, now, width)))


def link_line(model: ClusterModel, now: float, width: int, *, read_only: bool = False) -> Text:
    """``NERV default │ ● live 0.3s │ 8/8 actors │ 412 msg/s`` and, at the right, version and uptime."""
    state = model.link(now)
    symbol, tone = LINK_LOOKS[state]
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(" NERV ", STYLES[Tone.BRAND] + Style(reverse=True))
    line.append(f" {model.instance}", STYLES[Tone.STRONG])
    if read_only:
        line.append(" read-only", STYLES[Tone.ODD])
    line.append(*_SEPARATOR)
    line.append(f"{symbol} {_link_words(model, state, now)}", STYLES[tone])
    right = Text(no_wrap=True)
    if state in (LinkState.LIVE, LinkState.STALE) and model.cluster is not None:
        up, total = model.actors_up, len(model.actors)
        line.append(*_SEPARATOR)
        line.append(f"{up}/{total}", STYLES[Tone.GOOD if up == total else Tone.WAIT])
        line.append(" actors", FAINT)
        if model.cluster.stopping:
            line.append(" · stopping", STYLES[Tone.WAIT])
        rate = model.message_rate.per_second(now)
        if rate is not None:
            line.append(*_SEPARATOR)
            line.append(number(round(rate)), STYLES[Tone.BUSY])
            line.append(" msg/s", FAINT)
            if width >= 110:
                line.append(" " + _bars(model), STYLES[Tone.BUSY])
        right.append(f"up {age(now - model.cluster.started_at)}", FAINT)
        if width >= 100:
            right.append(f"  v{model.cluster.version}", FAINT)
    return _spread(line, right, width)


def _bars(model: ClusterModel) -> str:
    history = tuple(model.message_rate.history)
    return sparkline(history, 16, top=max(history, default=0.0) * 1.25).strip()


def _link_words(model: ClusterModel, state: LinkState, now: float) -> str:
    old = model.data_age(now)
    match state:
        case LinkState.LIVE:
            return f"live {age(old or 0.0)}"
        case LinkState.STALE:
            return f"silent for {age(old or 0.0)}"
        case LinkState.CONNECTING:
            words = "connecting…"
        case LinkState.LOST:
            words = f"lost, data {age(old or 0.0)} old"
    if model.next_attempt_at is not None and model.next_attempt_at > now:
        words += f" · again in {age(model.next_attempt_at - now)}"
    return words + (f" · try {model.connect_attempts + 1}" if model.connect_attempts else "")


def totals_line(model: ClusterModel, now: float, width: int) -> Text:
    """Tasks by state; at the right the rate of finished tasks, or what does not answer."""
    line = Text(" ", no_wrap=True, overflow="ellipsis")
    right = Text(no_wrap=True)
    if model.link(now) in (LinkState.CONNECTING, LinkState.LOST) and model.link_error is not None:
        right.append(one_line(model.link_error.reason), STYLES[Tone.BAD])
    elif model.problems:
        source, error = next(iter(model.problems.items()))
        more = f" (+{len(model.problems) - 1})" if len(model.problems) > 1 else ""
        right.append(f"! {source}: {error.code}{more}", STYLES[Tone.WAIT])
    else:
        rate = model.done_rate.per_second(now)
        if rate:
            right.append(f"{number(round(rate * 60, 1))} done/min", STYLES[Tone.GOOD])
    if model.counts is None:
        return _spread(line, right, width)
    for state, word in _TOTALS:
        count = model.counts.states.get(state, 0)
        if not count and state not in _ALWAYS:
            continue
        symbol, tone = TASK_LOOKS[state]
        line.append(f"{symbol} {number(count)}", STYLES[tone if count else Tone.FAINT])
        line.append(f" {word}  ", FAINT)
    if model.counts.oldest_wait >= 1:
        line.append(f"oldest waits {age(model.counts.oldest_wait)}", STYLES[Tone.WAIT])
    return _spread(line, right, width)


def _spread(left: Text, right: Text, width: int) -> Text:
    """``left`` and ``right`` at the two ends of a line of ``width`` cells; ``left`` gives way."""
    room = width - right.cell_len - 1
    if room < 20:
        left.truncate(width, overflow="ellipsis", pad=True)
        return left
    left.truncate(room - 1, overflow="ellipsis")
    left.pad_right(room - left.cell_len)
    left.append_text(right)
    return left
