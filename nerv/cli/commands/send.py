"""`nerv send`"""

from __future__ import annotations

import sys

import click

from nerv.cli.session import Session


@click.command()
@click.argument("type_name", metavar="TYPE")
@click.argument("payload", default="{}")
@click.option("--target", metavar="ACTOR", help="Send it to this actor instead of the type's own.")
@click.option("--timeout", type=click.FloatRange(min=0.01), default=30.0, show_default=True, help="Seconds.")
@click.option("--follow", is_flag=True, help="After task.submit: print the task's events until it ends.")
@click.pass_obj
def send(
    session: Session, type_name: str, payload: str, target: str | None, timeout: float, follow: bool
) -> None:
    """Send any command over the bus and print the answer as JSON. PAYLOAD is JSON; "-" reads it from stdin.

    \b
    nerv send queue.stats
    nerv send task.submit '{"provider": "playground", "prompt": "hello"}' --follow
    """
    session.run(_send(session, type_name, payload, target, timeout, follow))


async def _send(
    session: Session, type_name: str, payload: str, target: str | None, timeout: float, follow: bool
) -> None:
    from kernel.messages import TaskAccepted
    from kernel.work import follow as follow_task
    from nerv.bus.vocabulary import VOCABULARY

    to, command = VOCABULARY.parse(type_name, sys.stdin.buffer.read() if payload == "-" else payload, target)
    async with session.client() as client:
        answer = await client.request(to, command, timeout=timeout)
        session.json_line(answer)
        if follow and isinstance(answer, TaskAccepted):
            async for step in follow_task(client, answer.id):
                session.json_line(step)
