"""`nerv actor`"""

from __future__ import annotations

import click

from nerv.cli.session import Session
from nerv.messages import SUPERVISOR, ActorRestart


@click.group()
def actor() -> None:
    """Control single actors. `nerv status` lists them."""


@actor.command()
@click.argument("name")
@click.option("--reason", default="asked on the command line", help="Goes into the log.")
@click.pass_obj
def restart(session: Session, name: str, reason: str) -> None:
    """Stop one actor by the ladder and start it again."""
    session.run(_restart(session, name, reason))
    session.note(f"{name} is being restarted")


async def _restart(session: Session, name: str, reason: str) -> None:
    async with session.client() as client:
        await client.request(SUPERVISOR, ActorRestart(name=name, reason=reason), timeout=60.0)
