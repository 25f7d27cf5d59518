"""What the lower panel says: the reply as lines, the log as lines, and the words of titles and empty tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kernel.tasks import Finish, Task, TaskId, TaskState
from nerv.messages import LogLine
from tui.columns import SHORT_ID
from tui.formats import clean, one_line
from tui.looks import LOG_LOOKS, STYLES, TINTS, Tone
from tui.model import ClusterModel
from tui.reply_text import ReplyText
from tui.widgets.text_view import TextLine
from tui.wrap import Wrapped, wrap


def empty_words(model: ClusterModel, words: str) -> str:
    """What an empty table says: that there is nothing, or that nothing is known yet and what to do."""
    if model.heard_at is not None:
        return words
    if model.connect_attempts:
        return f"no cluster answers for instance {model.instance!r} — `nerv up` starts one; trying on"
    return "connecting…"


def reply_title(reply: ReplyText | None, task: Task | None, *, following: bool) -> str:
    """``Reply 3fa81c2d9e · 1,204 characters · growing``."""
    if reply is None:
        return "Reply"
    parts = [f"Reply {reply.task[:SHORT_ID]}"]
    if reply.attempt > 1:
        parts.append(f"attempt {reply.attempt}")
    if reply.length:
        parts.append(f"{reply.length:,} chars")
    if reply.sealed is not None:
        parts.append(
            {Finish.COMPLETE: "✓ sealed", Finish.CUT_OFF: "✗ cut off", Finish.UNPROVEN: "? unproven end"}[
                reply.sealed.finish
            ]
        )
    elif task is not None and task.state is TaskState.RUNNING:
        parts.append("▶ live")
    if not following:
        parts.append("G follows")
    return " · ".join(parts)


NO_LOGS = "no warning and no error since this monitor began to listen"


class ReplyLines:
    """Keeps the wrapped lines of the reply in view, so that a growing one costs only its end."""

    def __init__(self) -> None:
        self._wrapped = Wrapped()
        self._task: TaskId | None = None
        self._seen: tuple[object, ...] = ()
        self._lines: list[TextLine] = []

    def update(
        self, reply: ReplyText | None, task: Task | None, width: int
    ) -> tuple[Sequence[TextLine], bool]:
        """The lines, and whether another task's reply begins."""
        task_id = reply.task if reply is not None else None
        restart = task_id != self._task
        self._task = task_id
        if reply is None:
            self._lines, self._seen = [], ()
            return self._lines, restart
        if not reply.text:
            self._seen = ()
            return _waiting(task, width), restart
        seen = (task_id, reply.version, width)
        if seen != self._seen:
            self._seen = seen
            kept = self._wrapped.update(clean(reply.text), width)
            del self._lines[min(kept, len(self._lines)) :]
            self._lines += [
                ((line.text, TINTS[line.tint]),) for line in self._wrapped.lines[len(self._lines) :]
            ]
        head: list[TextLine] = []
        if reply.hidden:
            head.append(((f"… {reply.hidden:,} characters above are not kept here", STYLES[Tone.FAINT]),))
        return [*head, *self._lines] if head else self._lines, restart


def _waiting(task: Task | None, width: int) -> list[TextLine]:
    """What stands in place of a reply that has no text: what the task waits for, or its error, and its prompt."""
    if task is None:
        return []
    words, tone = {
        TaskState.PENDING: ("waiting for a driver", Tone.WAIT),
        TaskState.RUNNING: (f"stage: {task.stage}", Tone.BUSY),
        TaskState.RETRY: ("waiting for another attempt", Tone.ODD),
        TaskState.FAILED: ("failed", Tone.BAD),
        TaskState.DONE: ("reading the reply…", Tone.FAINT),
        TaskState.DEAD: ("dead", Tone.BAD),
        TaskState.CANCELLED: ("cancelled", Tone.FAINT),
    }[task.state]
    if task.error is not None:
        words += f" · {task.error.kind}: {one_line(task.error.reason)}"
    lines: list[TextLine] = [((piece, STYLES[tone]),) for piece in wrap(words, width)]
    prompt = one_line(task.prompt, 600)
    lines += [((piece, STYLES[Tone.FAINT]),) for piece in wrap(f"› {prompt}", width)]
    return lines


class LogLines:
    """Keeps the wrapped lines of the log; makes them again only when it grew or the width changed."""

    def __init__(self) -> None:
        self._seen = (-1, -1)
        self._groups: list[list[TextLine]] = []
        self._lines: list[TextLine] = []

    def update(self, model: ClusterModel, width: int) -> tuple[Sequence[TextLine], int]:
        """The lines, and how many of the old ones have gone at the top."""
        if not model.logs:
            return (((NO_LOGS, STYLES[Tone.FAINT]),),), 0
        if self._seen == (model.logs_seen, width):
            return self._lines, 0
        seen_before, width_before = self._seen
        fresh = (
            min(model.logs_seen - seen_before, len(model.logs)) if width == width_before else len(model.logs)
        )
        if fresh == len(model.logs):
            self._groups = []
        entries = list(model.logs)[len(model.logs) - fresh :]
        self._groups += [_log_lines(entry, width) for entry in entries]
        excess = len(self._groups) - len(model.logs)
        dropped = sum(len(group) for group in self._groups[:excess])
        del self._groups[:excess]
        self._lines = [line for group in self._groups for line in group]
        self._seen = (model.logs_seen, width)
        return self._lines, dropped


def _log_lines(entry: LogLine, width: int) -> list[TextLine]:
    symbol, tone = LOG_LOOKS.get(entry.level.lower(), ("·", Tone.PLAIN))
    at = datetime.fromtimestamp(entry.at).astimezone().strftime("%H:%M:%S")
    head = f"{at} {symbol} {entry.actor} "
    text = one_line(f"{entry.event} {entry.detail}", 1000)
    pieces = wrap(text, max(20, width - len(head)))
    lines: list[TextLine] = [
        (
            (f"{at} ", STYLES[Tone.FAINT]),
            (f"{symbol} ", STYLES[tone]),
            (f"{entry.actor} ", STYLES[Tone.BUSY]),
            (pieces[0], STYLES[tone]),
        )
    ]
    lines += [((" " * len(head) + piece, STYLES[tone]),) for piece in pieces[1:]]
    return lines
