"""What the demo shows: a line for each task, and the ends of the replies that stream, side by side."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

import click
from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from kernel.replies import ReplyText
from kernel.tasks import FINAL_STATES, TaskId, TaskState

if TYPE_CHECKING:
    from kernel.work import ReplyProgress

TAIL_LINES = 8
FRAMES_PER_SECOND = 8


@dataclass(kw_only=True)
class Line:
    """One task of the demo, as its follower sees it."""

    task: TaskId
    prompt: str
    state: TaskState = TaskState.PENDING
    attempt: int = 0
    driver: str = ""
    text: str | None = None
    length: int = 0

    def __post_init__(self) -> None:
        self._reply = ReplyText()

    @property
    def ended(self) -> bool:
        return self.state in FINAL_STATES

    @property
    def shown(self) -> str:
        return self.text if self.text is not None else self._reply.text

    def see(self, step: ReplyProgress) -> None:
        """Take one step of `kernel.work.follow`."""
        if step.restarted:
            self._reply = ReplyText()
        if step.delta is not None:
            self._reply.add((step.delta,))
        if step.task is not None:
            self.state = step.task.state
            self.attempt = step.task.attempt
            if step.task.lease is not None:
                self.driver = step.task.lease.owner.partition("@")[0]
        self.text = step.text if step.text is not None else self.text
        self.length = len(self.shown)


class DemoView:
    """A live picture on a terminal; plain lines of what changed elsewhere."""

    def __init__(self, lines: list[Line]) -> None:
        self._lines = lines
        self._said: list[str] = []
        self._states: dict[TaskId, tuple[TaskState, int]] = {}
        self._console = Console(file=sys.stdout)
        self._live = (
            Live(
                self._picture(), console=self._console, refresh_per_second=FRAMES_PER_SECOND, transient=False
            )
            if self._console.is_terminal
            else None
        )

    def __enter__(self) -> DemoView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.update(self._picture())
            self._live.stop()

    def say(self, text: str) -> None:
        self._said.append(text)
        if self._live is None:
            click.echo(text)
        else:
            self.refresh()

    def refresh(self) -> None:
        if self._live is not None:
            self._live.update(self._picture())
            return
        for line in self._lines:
            now = (line.state, line.attempt)
            if self._states.get(line.task) != now:
                self._states[line.task] = now
                where = f" in {line.driver}" if line.driver and not line.ended else ""
                click.echo(f"{line.state:<8} attempt {line.attempt}{where}: {line.prompt}")

    def _picture(self) -> Group:
        table = Table.grid(padding=(0, 2))
        for line in self._lines:
            style = {TaskState.DONE: "green", TaskState.RUNNING: "cyan", TaskState.RETRY: "yellow"}.get(
                line.state, "dim"
            )
            table.add_row(
                Text(line.state, style=style),
                Text(f"#{line.attempt}" if line.attempt else "", style="dim"),
                Text(line.driver, style="dim"),
                Text(f"{line.length:>6}"),
                Text(line.prompt),
            )
        streams = [line for line in self._lines if line.state is TaskState.RUNNING]
        width = max(30, (self._console.width - 4) // max(1, min(2, len(streams))) - 2)
        panels = [
            Panel(
                Text("\n".join(line.shown.splitlines()[-TAIL_LINES:]), overflow="crop", no_wrap=True),
                title=f"{line.driver}: {line.prompt[: width - 20]}",
                width=width,
                height=TAIL_LINES + 2,
                border_style="cyan",
            )
            for line in streams[:2]
        ]
        said = [Text(text, style="bold red") for text in self._said]
        return Group(table, Columns(panels), *said)
