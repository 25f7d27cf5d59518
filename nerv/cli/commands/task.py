"""`nerv task`"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import click

from kernel.messages import (
    QUEUE,
    STORE,
    ReplyRead,
    ReplyView,
    TaskCancel,
    TaskEvents,
    TaskGet,
    TaskHistory,
    TaskList,
    TaskPage,
    TaskRetry,
    TaskView,
)
from kernel.tasks import Task, TaskId, TaskState
from nerv.cli.session import Session


@click.group()
def task() -> None:
    """List, show, cancel and retry tasks. An id may be cut to a prefix that is unique."""


@task.command()
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in TaskState], case_sensitive=False),
)
@click.option("--provider")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--after", metavar="CURSOR", help="Go on where an earlier list ended.")
@click.pass_obj
def ls(
    session: Session, states: tuple[str, ...], provider: str | None, limit: int, after: str | None
) -> None:
    """List tasks, newest first."""
    wanted = tuple(TaskState(state.upper()) for state in states)
    page = session.run(_list(session, TaskList(states=wanted, provider=provider, limit=limit, after=after)))
    if session.as_json:
        for item in page.tasks:
            session.json_line(item)
        return
    from nerv.cli.tables import seconds, shorten, table

    now = time.time()
    session.data(
        table(
            ("ID", "STATE", "STAGE", "PROVIDER", "ATTEMPT", "AGE", "PROMPT"),
            (
                (
                    item.id,
                    item.state,
                    item.stage,
                    item.provider,
                    str(item.attempt),
                    seconds(now - item.created_at),
                    shorten(item.prompt, 60),
                )
                for item in page.tasks
            ),
        )
    )
    if page.next:
        session.note(f"more: nerv task ls --after {page.next}")


@task.command()
@click.argument("task_id", metavar="ID")
@click.option("--history", is_flag=True, help="Every change of the task, oldest first.")
@click.option("--reply", "reply_only", is_flag=True, help="Only the reply's Markdown.")
@click.pass_obj
def show(session: Session, task_id: str, history: bool, reply_only: bool) -> None:
    """Show one task, its error or its reply."""
    found, reply, events = session.run(_show(session, TaskId(task_id), history=history))
    if session.as_json:
        session.json_line(
            {"task": found, "reply": reply, **({"history": events.events} if events is not None else {})}
        )
        return
    if not reply_only:
        session.data(_describe(found))
        if events is not None:
            session.data("")
            for event in events.events:
                at = (
                    time.strftime("%H:%M:%S", time.localtime(event.at))
                    + f".{int(event.at * 1000) % 1000:03d}"
                )
                session.data(
                    f"{at}  #{event.attempt}  {event.change}  by {event.by}  {event.detail}".rstrip()
                )
        if reply.text is not None:
            session.data("")
    if reply.text is not None:
        session.data(reply.text, newline=not reply.text.endswith("\n"))
    elif reply_only:
        session.fail(f"task {found.id} has no sealed reply (it is {found.state})")


@task.command()
@click.argument("task_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--reason", default="asked on the command line")
@click.pass_obj
def cancel(session: Session, task_ids: tuple[str, ...], reason: str) -> None:
    """Cancel tasks; a running one is stopped at its page."""
    _each(session, task_ids, lambda found: TaskCancel(id=TaskId(found), reason=reason))


@task.command()
@click.argument("task_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--resend", is_flag=True, help="Send the prompt again even if the page may have taken it.")
@click.pass_obj
def retry(session: Session, task_ids: tuple[str, ...], resend: bool) -> None:
    """Run DEAD or CANCELLED tasks again, or waiting ones now."""
    _each(session, task_ids, lambda found: TaskRetry(id=TaskId(found), resend=resend))


def _each(
    session: Session, task_ids: tuple[str, ...], command: Callable[[str], TaskCancel | TaskRetry]
) -> None:
    for view in session.run(_change(session, [command(task_id) for task_id in task_ids])):
        if session.as_json:
            session.json_line(view.task)
        else:
            session.data(f"{view.task.id}  {view.task.state}")


def _describe(found: Task) -> str:
    now = time.time()
    from nerv.cli.tables import seconds

    lines = [
        ("id", found.id),
        ("state", f"{found.state}, stage {found.stage}"),
        ("provider", f"{found.provider} (account {found.account})"),
        (
            "attempts",
            f"{found.attempt} begun, {found.failures} of {found.max_attempts} failed, {found.losses} lost to crashes",
        ),
        ("created", f"{seconds(now - found.created_at)} ago by {found.created_by or '-'}"),
        ("deadline", f"in {seconds(found.deadline - now)}" if found.deadline > now else "passed"),
        ("conversation", found.conversation or "-"),
        ("prompt", found.prompt),
    ]
    if found.lease is not None:
        lines.append(("lease", f"{found.lease.owner}, for {seconds(found.lease.until - now)} more"))
    if found.reply is not None:
        summary = found.reply
        lines.append(
            (
                "reply",
                f"{summary.length} characters from the {summary.source}, {summary.finish}, attempt {summary.attempt}",
            )
        )
    if found.error is not None:
        lines.append(("error", f"{found.error.kind}: {found.error.reason}"))
    return "\n".join(f"{name:<13}{value}" for name, value in lines)


async def _list(session: Session, command: TaskList) -> TaskPage:
    async with session.client() as client:
        return await client.request(QUEUE, command)


async def _show(
    session: Session, task_id: TaskId, *, history: bool
) -> tuple[Task, ReplyView, TaskEvents | None]:
    async with session.client() as client:
        view = await client.request(QUEUE, TaskGet(id=task_id))
        reply = await client.request(STORE, ReplyRead(task=view.task.id))
        events = await client.request(QUEUE, TaskHistory(id=view.task.id)) if history else None
        assert events is None or isinstance(events, TaskEvents)
    return view.task, reply, events


async def _change(session: Session, commands: Sequence[TaskCancel | TaskRetry]) -> list[TaskView]:
    views = []
    async with session.client() as client:
        for command in commands:
            view = await client.request(QUEUE, command)
            views.append(view)
    return views
