"""`nerv top`: the Textual app, and its way in from the command line."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, ClassVar

from rich.markup import escape
from textual import events, on, work
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Footer, Input

from kernel.messages import ProviderView
from kernel.tasks import Task, TaskId
from nerv.errors import NervError
from nerv.instance import Instance
from nerv.messages import ActorStatus
from tui.actions import ACTIONS, CHANGING, bindings
from tui.columns import actor_columns, provider_columns, task_columns
from tui.commands import Outcome, cancel_task, restart_actor, retry_task
from tui.filters import HELP, TaskFilter
from tui.formats import counted
from tui.link import Connect, Feed
from tui.looks import THEME
from tui.model import ClusterModel, LinkState
from tui.panels import LogLines, ReplyLines, empty_words, reply_title
from tui.screens import Confirm, Details, Help
from tui.widgets import Grid, Masthead, TextView

DRAW_SECONDS = 0.33
"""Changes are drawn together, at most this often (150 rows at 10 Hz cost 60 % of a core: textual#6457)."""
WIDE, TALL = 120, 30
"""Columns and rows from which panels stand side by side, and have frames."""
AGE_SECONDS = 1.0
"""Ages are drawn again this often even if nothing changed."""
EXIT_OK, EXIT_USAGE = 0, 2


class NervTop(App[int]):
    """The monitor. ``connect`` opens a client; ``clock`` gives seconds since the epoch; both can be a test's."""

    TITLE = "nerv top"
    CSS_PATH = "nerv.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (TALL, "-tall")]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings()]

    def __init__(
        self,
        connect: Connect,
        instance: str,
        *,
        read_only: bool = False,
        clock: Callable[[], float] = time.time,
        watch_terminal: bool = False,
    ) -> None:
        super().__init__()
        self.register_theme(THEME)
        self.theme = THEME.name
        self.model = ClusterModel(instance)
        self.feed = Feed(self.model, connect, clock)
        self.read_only = read_only
        self.filter = TaskFilter()
        self.clock = clock
        self._watch_terminal = watch_terminal
        self._drawn_version = -1
        self._drawn_at = 0.0
        self._zoomed: str | None = None
        self._log_lines = LogLines()
        self._reply_lines = ReplyLines()
        self.actors: Grid[ActorStatus] = Grid(
            actor_columns(self.model), key=lambda actor: actor.name, clock=clock, id="actors"
        )
        self.tasks: Grid[Task] = Grid(task_columns(), key=lambda task: task.id, clock=clock, id="tasks")
        self.providers: Grid[ProviderView] = Grid(
            provider_columns(), key=lambda provider: provider.name, clock=clock, id="providers"
        )
        self.reply_view = TextView(id="reply")
        self.logs_view = TextView(id="logs")
        self.masthead = Masthead(self.model, clock, read_only=read_only)
        # Held, not queried: the drawing timer still ticks while the widgets are being taken down.
        self.actors_panel = Vertical(self.actors, id="actors-panel", classes="panel")
        self.filter_input = Input(placeholder=f"filter: {HELP}", id="filter", compact=True)
        self.tasks_panel = Vertical(self.tasks, self.filter_input, id="tasks-panel", classes="panel")
        self.view = ContentSwitcher(
            self.reply_view, self.logs_view, self.providers, initial="reply", id="view"
        )
        self.view_panel = Vertical(self.view, id="view-panel", classes="panel")

    # -- composition ------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield self.masthead
        yield self.actors_panel
        yield Container(self.tasks_panel, self.view_panel, id="work")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.tasks.focus()
        self.run_worker(self.feed.run(), name="feed", group="feed")
        self.set_interval(DRAW_SECONDS, self.draw)
        if self._watch_terminal:
            self.set_interval(AGE_SECONDS, self._leave_with_terminal)
        self.call_after_refresh(self.draw, force=True)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return THEME.variables

    # -- drawing ----------------------------------------------------------------------------------------------

    def draw(self, *, force: bool = False) -> None:
        """Bring the widgets up to the model, if it changed or its ages did."""
        now = self.clock()
        self._choose_task(now)
        due = force or self.model.version != self._drawn_version or abs(now - self._drawn_at) >= AGE_SECONDS
        if not due:
            return
        self._drawn_version, self._drawn_at = self.model.version, now
        live = self.model.link(now) is LinkState.LIVE
        for view in (self.actors, self.tasks, self.providers, self.reply_view, self.logs_view):
            view.dimmed = not live
        self.masthead.refresh()
        self._draw_actors()
        self._draw_tasks(now)
        self._draw_view(now)

    def _draw_actors(self) -> None:
        self.actors.empty = empty_words(self.model, "no actors")
        before = self.actors.line_count
        self.actors.show(tuple(self.model.actors.values()))
        if self.actors.line_count != before or before == 0:
            # Its height is set here and only when the count changes: an automatic height would be measured each time.
            self.actors.styles.height = max(1, self.actors.line_count) + 1 if self._zoomed is None else "1fr"
        restarts = sum(actor.restarts for actor in self.model.actors.values())
        title = f"Actors {self.model.actors_up}/{len(self.model.actors)}" if self.model.actors else "Actors"
        self._title(self.actors_panel, title, counted(restarts, "restart") if restarts else "")

    def _draw_tasks(self, now: float) -> None:
        every = self.model.sorted_tasks()
        shown = self.filter.apply(every)
        self.tasks.empty = (
            f"no task fits /{self.filter.text}"
            if every and not shown
            else empty_words(self.model, "no tasks yet")
        )
        self.tasks.show(shown)
        title = (
            f"Tasks {len(shown)} of {len(every)} · /{self.filter.text}"
            if self.filter.text
            else (f"Tasks {len(every)}")
        )
        self._title(self.tasks_panel, title, "auto: follows running tasks" if self.tasks.led else "a auto")

    def _draw_view(self, now: float) -> None:
        current = self.view.current
        hints = " · ".join(
            hint
            for name, hint in (("reply", "v reply"), ("logs", "l logs"), ("providers", "b breakers"))
            if name != current
        )
        if current == "reply":
            reply = self.model.reply
            task = self.model.tasks.get(reply.task) if reply else None
            lines, restart = self._reply_lines.update(reply, task, self.reply_view.body_width)
            self.reply_view.show(lines, restart=restart)
            self._title(self.view_panel, reply_title(reply, task, following=self.reply_view.following), hints)
        elif current == "logs":
            lines, dropped = self._log_lines.update(self.model, self.logs_view.body_width)
            self.logs_view.show(lines, dropped=dropped)
            following = "" if self.logs_view.following else " · G follows"
            self._title(self.view_panel, f"Logs {len(self.model.logs)}{following}", hints)
        else:
            self.providers.empty = empty_words(self.model, "no providers")
            self.providers.show(self.model.providers)
            opened = sum(provider.breaker == "open" for provider in self.model.providers)
            title = f"Providers {len(self.model.providers)}" + (f" · {opened} open" if opened else "")
            self._title(self.view_panel, title, hints)

    def _title(self, panel: Vertical, title: str, subtitle: str) -> None:
        # A low screen has a rule above each panel but no frame around it: the hints then stand beside the title.
        tall = self.size.height >= TALL
        text = f"{title}  ·  {subtitle}" if subtitle and not tall else title
        below = subtitle if tall else ""
        if (panel.border_title, panel.border_subtitle) != (escape(text), escape(below)):
            panel.border_title, panel.border_subtitle = escape(text), escape(below)

    # -- the selected task ------------------------------------------------------------------------------------

    def _choose_task(self, now: float) -> None:
        if self.tasks.led:
            task_id = self.model.suggested_task(now)
            if task_id is not None:
                self.tasks.point_at(task_id)
                self.feed.select(task_id)

    @on(Grid.Moved, "#tasks")
    def _task_moved(self, event: Grid.Moved) -> None:
        self.feed.select(TaskId(event.key))
        self.draw(force=True)

    @on(Grid.Chosen)
    def _row_chosen(self, event: Grid.Chosen) -> None:
        if event.grid is self.tasks:
            self.action_details()

    @property
    def selected_task(self) -> TaskId | None:
        if isinstance(self.screen, Details):
            return self.screen.task_id
        current = self.tasks.current
        return current.id if current is not None else None

    # -- actions ----------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if self.read_only and action in CHANGING:
            return False
        # Under a sheet or a question, the app's own keys sleep (their keys mean something else there).
        if isinstance(self.screen, Details):
            return action not in {a.method for a in ACTIONS} - {"retry", "cancel", "leave"}
        if isinstance(self.screen, Confirm | Help):
            return action not in {a.method for a in ACTIONS}
        return True

    def action_leave(self) -> None:
        self.exit(EXIT_OK)

    def action_help(self) -> None:
        self.push_screen(Help(read_only=self.read_only))

    def action_details(self) -> None:
        task_id = self.selected_task
        if task_id is not None:
            self.push_screen(Details(self.feed, task_id, self.clock))

    def action_filter(self) -> None:
        self.filter_input.add_class("-open")
        self.filter_input.focus()

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        self.filter = TaskFilter(event.value)
        self.draw(force=True)

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        self.filter_input.remove_class("-open")
        self.tasks.focus()

    def action_step_back(self) -> None:
        entry = self.filter_input
        if self.filter.text or entry.has_class("-open"):
            entry.value = ""
            self.filter = TaskFilter()
            entry.remove_class("-open")
            self.tasks.focus()
        elif self._zoomed is not None:
            self.action_zoom()
        self.draw(force=True)

    def action_view(self, name: str) -> None:
        self.view.current = name
        self.query_one(f"#{name}").focus()
        self.draw(force=True)
        self.call_after_refresh(self.draw, force=True)

    def action_zoom(self) -> None:
        """The focused panel alone, or all of them again."""
        if self._zoomed is None:
            focused = self.focused
            panel = next((p for p in focused.ancestors if p.has_class("panel")), None) if focused else None
            if panel is None or panel.id is None:
                return
            self._zoomed = panel.id
        else:
            self._zoomed = None
        for panel in self.query(".panel"):
            panel.set_class(panel.id == self._zoomed, "-kept")
        self.screen.set_class(self._zoomed is not None, "-zoomed")
        self.screen.set_class(self._zoomed == "actors-panel", "-zoomed-actors")
        self.actors.styles.height = "1fr" if self._zoomed else max(1, self.actors.line_count) + 1
        self.call_after_refresh(self.draw, force=True)

    def action_auto(self) -> None:
        self.tasks.led = True
        self.draw(force=True)

    def action_copy(self) -> None:
        reply = self.model.reply
        if reply is None or not reply.text:
            self.notify("there is no reply to copy", severity="warning", markup=False)
            return
        self.copy_to_clipboard(reply.text)
        missing = f", without its first {reply.hidden:,}" if reply.hidden else ""
        self.notify(f"copied {len(reply.text):,} characters{missing}", markup=False)

    def action_resync(self) -> None:
        self.feed.refresh_soon()

    def action_retry(self) -> None:
        task_id = self.selected_task
        if task_id is not None:
            self._carry_out(retry_task(self.feed, task_id))

    def action_cancel(self) -> None:
        task_id = self.selected_task
        if task_id is None:
            return
        task = self.model.tasks.get(task_id)
        what = f"{task.state.lower()} at {task.provider}" if task else "not in view any more"
        self._confirm_then(
            Confirm(
                f"Cancel task {task_id}?", f"It is {what}. Cancelled work can be retried.", "Cancel the task"
            ),
            lambda: cancel_task(self.feed, task_id),
        )

    def action_restart(self) -> None:
        actor = self.actors.current
        if actor is None:
            return
        held = len(self.model.tasks_of(actor.name, actor.incarnation))
        consequence = (
            f"{counted(held, 'running task')} will go on in another attempt."
            if held
            else "No running task is held by it."
        )
        self._confirm_then(
            Confirm(
                f"Restart actor {actor.name}?",
                f"pid {actor.pid or '–'}. {consequence}",
                f"Restart {actor.name}",
            ),
            lambda: restart_actor(self.feed, actor.name),
        )

    def _confirm_then(self, question: Confirm, command: Callable[[], Coroutine[Any, Any, Outcome]]) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self._carry_out(command())

        self.push_screen(question, answered)

    @work(group="commands")
    async def _carry_out(self, command: Coroutine[Any, Any, Outcome]) -> None:
        outcome = await command
        self.notify(
            outcome.detail,
            title=outcome.title,
            severity="information" if outcome.done else "error",
            timeout=4.0 if outcome.done else 10.0,
            markup=False,
        )

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        for action in ACTIONS:
            if action.method == "step_back" or (self.read_only and action.changes):
                continue
            yield SystemCommand(action.label, action.help, self._runner(action.name))

    def _runner(self, name: str) -> Callable[[], Coroutine[Any, Any, None]]:
        async def run_it() -> None:
            await self.run_action(name)

        return run_it

    # -- the terminal -----------------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self.draw, force=True)

    def _leave_with_terminal(self) -> None:
        """A monitor whose terminal hung up must end, not spin on its closed input (btop#1597)."""
        poll = select.poll()
        try:
            poll.register(sys.__stdin__.fileno() if sys.__stdin__ else 0, 0)
        except (OSError, ValueError):
            self.exit(EXIT_OK)
            return
        if any(flags & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, flags in poll.poll(0)):
            self.exit(EXIT_OK)


def client_of(instance: Instance) -> Connect:
    """How to connect to the cluster of ``instance``."""
    from nerv.client import Client

    return lambda: Client(instance)


def run(
    instance_name: str | None = None,
    *,
    elsewhere: tuple[str, Connect] | None = None,
    read_only: bool = False,
    screenshot: Path | None = None,
    size: tuple[int, int] = (120, 32),
) -> int:
    """Watch the cluster of an instance until the user quits; returns the exit code (0, 2 usage, 3 no cluster).

    ``elsewhere``: what to call it and how to connect, in place of an instance here.
    ``screenshot``: write one picture (SVG) of ``size`` columns and rows to this file instead, without a terminal.
    """
    import asyncio

    try:
        if elsewhere is not None:
            name, connect = elsewhere
        else:
            instance = Instance.locate(instance_name)
            name, connect = instance.name, client_of(instance)
        if screenshot is not None:
            from tui.screenshot import take

            return asyncio.run(take(connect, name, screenshot, size))
    except NervError as error:
        print(f"nerv top: {error}", file=sys.stderr)
        return EXIT_USAGE
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print(
            "nerv top: needs a terminal. `nerv status --json` is for scripts, `--screenshot FILE.svg` for pictures",
            file=sys.stderr,
        )
        return EXIT_USAGE
    return asyncio.run(_run_in_terminal(connect, name, read_only))


async def _run_in_terminal(connect: Connect, instance: str, read_only: bool) -> int:
    import asyncio

    app = NervTop(connect, instance, read_only=read_only, watch_terminal=True)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signum, app.exit, EXIT_OK)
    code = await app.run_async(mouse="NERV_TOP_NO_MOUSE" not in os.environ)
    return app.return_code or code or EXIT_OK
