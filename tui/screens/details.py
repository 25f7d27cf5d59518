"""All fields of one task and its history, asked of the queue while the screen is open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import ClassVar

from rich.style import Style
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from kernel.messages import QUEUE, TaskEvents, TaskGet, TaskHistory, TaskView
from kernel.tasks import Task, TaskEvent, TaskId
from nerv.errors import ErrorInfo, NervError
from tui.formats import age, clean, fit, one_line
from tui.link import REQUEST_SECONDS, Feed
from tui.looks import STYLES, TASK_LOOKS, Tone
from tui.widgets.text_view import TextLine, TextView
from tui.wrap import wrap

POLL_SECONDS = 1.0
MAX_PROMPT_LINES = 200


class Details(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "leave", "Close"),
        Binding("r", "app.retry", "Retry"),
        Binding("c", "app.cancel", "Cancel task"),
    ]

    def __init__(self, feed: Feed, task_id: TaskId, clock: Callable[[], float]) -> None:
        super().__init__()
        self._feed = feed
        self.task_id = task_id
        self._clock = clock
        self._known = feed.model.tasks.get(task_id)
        self._events: tuple[TaskEvent, ...] = ()
        self._error: ErrorInfo | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = f"Task {self.task_id}"
            sheet.border_subtitle = "↑↓ scroll · r retry · c cancel · esc close"
            yield TextView(id="details")

    def on_mount(self) -> None:
        view = self.query_one("#details", TextView)
        view.following = False
        view.focus()
        self.run_worker(self._watch(), name="details")
        self.set_interval(POLL_SECONDS, self._draw)
        self.call_after_refresh(self._draw)

    def on_resize(self) -> None:
        self._draw()

    async def _watch(self) -> None:
        """Ask at first and whenever the model has heard of a change."""
        seen: float | None = None
        while True:
            known = self._feed.model.tasks.get(self.task_id)
            if seen is None or self._error is not None or (known is not None and known.updated_at > seen):
                await self._ask()
                seen = self._known.updated_at if self._known is not None else 0.0
                self._draw()
            await asyncio.sleep(POLL_SECONDS / 2)

    async def _ask(self) -> None:
        client = self._feed.client
        if client is None:
            return
        try:
            view = await client.request(QUEUE, TaskGet(id=self.task_id), timeout=REQUEST_SECONDS)
            history = await client.request(QUEUE, TaskHistory(id=self.task_id), timeout=REQUEST_SECONDS)
        except NervError as error:
            self._error = error.info
            return
        self._error = None
        if isinstance(view, TaskView):
            self._known = view.task
        if isinstance(history, TaskEvents):
            self._events = history.events

    def _draw(self) -> None:
        view = self.query_one("#details", TextView)
        view.show(detail_lines(self._known, self._events, self._error, self._clock(), view.body_width))

    def action_leave(self) -> None:
        self.dismiss(None)


def detail_lines(
    task: Task | None, events: tuple[TaskEvent, ...], error: ErrorInfo | None, now: float, width: int
) -> tuple[TextLine, ...]:
    """The text of the screen: fields that say something, the prompt, and the history, oldest first."""
    lines: list[TextLine] = []
    if error is not None:
        lines += [((piece, STYLES[Tone.BAD]),) for piece in wrap(clean(str(error)), width)]
    if task is None:
        lines.append((("asking the queue…" if error is None else "", STYLES[Tone.FAINT]),))
        return tuple(lines)
    lines += _fields(task, now, width)
    lines.append((("Prompt", STYLES[Tone.BRAND]),))
    prompt = [piece for line in clean(task.prompt).split("\n") for piece in wrap(line, width - 2)]
    lines += [((f"  {piece}", STYLES[Tone.PLAIN]),) for piece in prompt[:MAX_PROMPT_LINES]]
    if len(prompt) > MAX_PROMPT_LINES:
        lines.append(((f"  … {len(prompt) - MAX_PROMPT_LINES} lines more", STYLES[Tone.FAINT]),))
    lines.append((("History", STYLES[Tone.BRAND]),))
    for event in events:
        tone = Tone.WAIT if event.change.startswith("stale") else Tone.PLAIN
        lines.append(
            (
                (f"  {_clock_time(event.at)}  ", STYLES[Tone.FAINT]),
                (f"{event.attempt} ", STYLES[Tone.FAINT]),
                (fit(event.change, 24) + " ", STYLES[tone]),
                (one_line(f"{event.by} {event.detail}")[: max(0, width - 42)], STYLES[Tone.FAINT]),
            )
        )
    if not events:
        lines.append((("  asking the queue…", STYLES[Tone.FAINT]),))
    return tuple(lines)


def _fields(task: Task, now: float, width: int) -> list[TextLine]:
    symbol, tone = TASK_LOOKS[task.state]
    fields: list[tuple[str, str, Style]] = [("state", f"{symbol} {task.state}", STYLES[tone])]

    def add(name: str, value: object, tone: Tone = Tone.PLAIN) -> None:
        fields.append((name, clean(str(value)), STYLES[tone]))

    add("stage", task.stage)
    add("provider", f"{task.provider} / {task.account}")
    add("attempt", f"{task.attempt} · {task.failures} of {task.max_attempts} failures · {task.losses} losses")
    if task.error is not None:
        add("error", f"{task.error.kind}: {task.error.reason}", Tone.BAD)
        if task.error.forensics:
            add("forensics", task.error.forensics)
    if task.reply is not None:
        reply = task.reply
        add(
            "reply",
            f"{reply.length:,} characters · {reply.finish} · from {reply.source} · attempt {reply.attempt}",
        )
    if task.lease is not None:
        add("lease", f"{task.lease.owner} · for {age(task.lease.until - now)}", Tone.BUSY)
    add(
        "created",
        f"{_clock_time(task.created_at)} · {age(now - task.created_at)} ago by {task.created_by or '–'}",
    )
    add("updated", f"{_clock_time(task.updated_at)} · {age(now - task.updated_at)} ago")
    if task.finished_at is not None:
        add("finished", f"{_clock_time(task.finished_at)} · took {age(task.finished_at - task.created_at)}")
    else:
        add("deadline", f"{_clock_time(task.deadline)} · in {age(task.deadline - now)}")
    if task.not_before > now:
        add("not before", f"{_clock_time(task.not_before)} · in {age(task.not_before - now)}", Tone.WAIT)
    if task.priority:
        add("priority", task.priority)
    for name, value in (
        ("conversation", task.conversation),
        ("batch", task.batch),
        ("idempotency", task.idempotency_key),
        ("concurrency", task.concurrency_key),
        ("depends on", ", ".join(task.depends_on)),
        ("correlation", task.correlation),
    ):
        if value:
            add(name, value)
    lines: list[TextLine] = []
    for name, value, style in fields:
        for number, piece in enumerate(wrap(value.replace("\n", " "), width - 15)):
            lines.append(((fit(f"  {name}" if number == 0 else "", 15), STYLES[Tone.FAINT]), (piece, style)))
    return lines


def _clock_time(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S.%f")[:-3]
