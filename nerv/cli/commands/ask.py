"""`nerv ask`"""

from __future__ import annotations

import sys

import click

from kernel.messages import TaskSubmit
from kernel.tasks import DEFAULT_ACCOUNT, DEFAULT_MAX_ATTEMPTS, Finish, Task, TaskState
from nerv.cli.exits import ExitCode
from nerv.cli.live import LiveReply
from nerv.cli.session import Session


@click.command()
@click.argument("provider")
@click.argument("prompt")
@click.option("--account", default=DEFAULT_ACCOUNT, show_default=True)
@click.option("--priority", type=int, default=0, show_default=True, help="Higher goes first.")
@click.option("--timeout", type=click.FloatRange(min=0.1), help="Seconds until the task is given up.")
@click.option("--max-attempts", type=click.IntRange(min=1), default=DEFAULT_MAX_ATTEMPTS, show_default=True)
@click.option("--idempotency-key", metavar="KEY", help="The same key again answers with the same task.")
@click.option("--no-wait", is_flag=True, help="Print the task's id and return at once.")
@click.option(
    "--stream/--no-stream",
    default=None,
    help="Print the reply as it grows (default: when stdout is a terminal).",
)
@click.pass_obj
def ask(
    session: Session,
    provider: str,
    prompt: str,
    account: str,
    priority: int,
    timeout: float | None,
    max_attempts: int,
    idempotency_key: str | None,
    no_wait: bool,
    stream: bool | None,
) -> None:
    """Send PROMPT to PROVIDER and print the reply's Markdown. PROMPT "-" reads stdin.

    Ctrl-C stops watching, not the task: `nerv task show ID` has the reply later. A reply that the page cut off is
    printed, and ends with code 1.

    \b
    nerv ask playground "What is an actor?"
    cat question.txt | nerv ask playground - > answer.md
    """
    submit = TaskSubmit(
        provider=provider,
        prompt=sys.stdin.read() if prompt == "-" else prompt,
        account=account,
        priority=priority,
        timeout=timeout,
        max_attempts=max_attempts,
        idempotency_key=idempotency_key,
    )
    live = sys.stdout.isatty() if stream is None else stream
    code = session.run(_ask(session, submit, wait=not no_wait, live=live and not session.as_json))
    if code is not ExitCode.DONE:
        raise click.exceptions.Exit(int(code))


async def _ask(session: Session, submit: TaskSubmit, *, wait: bool, live: bool) -> ExitCode:
    from kernel.work import follow
    from kernel.work import submit as submit_task

    async with session.client() as client:
        accepted = await submit_task(client, submit)
        if not wait:
            if session.as_json:
                session.json_line(accepted)
            else:
                session.data(accepted.id)
            return ExitCode.DONE
        session.note(f"task {accepted.id}" + (" (known already)" if accepted.duplicate else ""))
        shown = LiveReply(sys.stdout) if live else None
        try:
            async for step in follow(client, accepted.id):
                if session.as_json:
                    session.json_line(step)
                elif shown is not None and step.restarted:
                    shown.restart()
                elif shown is not None and step.delta is not None:
                    shown.apply(step.delta)
                if step.task is not None and step.final:
                    return _end(session, step.task, step.text or "", shown)
        except BaseException:
            session.note(
                f"\ntask {accepted.id} goes on: `nerv task show {accepted.id}` or `nerv task cancel {accepted.id}`"
            )
            raise
    return ExitCode.FAILED


def _end(session: Session, task: Task, text: str, shown: LiveReply | None) -> ExitCode:
    """Show how the task ended; the exit code that says it."""
    if task.state is not TaskState.DONE:
        if shown is not None:
            shown.close()
        why = f": {task.error.kind}: {task.error.reason}" if task.error else ""
        session.note(f"task {task.id} is {task.state}{why}")
        return ExitCode.FAILED
    if shown is not None:
        shown.finish_as(text)
    elif not session.as_json:
        session.data(text, newline=not text.endswith("\n"))
    finish = task.reply.finish if task.reply is not None else Finish.COMPLETE
    if finish is Finish.CUT_OFF:
        session.note("the reply is cut off: the page did not finish it")
        return ExitCode.FAILED
    if finish is Finish.UNPROVEN:
        session.note("the reply stopped growing, but the page gave no sign of its end")
    return ExitCode.DONE
