"""`nerv deadletter`"""

from __future__ import annotations

import sys
import time

import click

from nerv.bus.messages import (
    BUS_NAME,
    DeadLetterDrop,
    DeadLetterList,
    DeadLetterResend,
    DeadLetterShow,
    DeadLetterView,
)
from nerv.bus.vocabulary import Command, R
from nerv.cli.exits import ExitCode
from nerv.cli.session import Session


@click.group()
def deadletter() -> None:
    """Commands that could not be delivered: read them, send them again, drop them."""


@deadletter.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--after", type=int, default=0, help="Only letters with a higher number.")
@click.pass_obj
def ls(session: Session, limit: int, after: int) -> None:
    """List them, oldest first."""
    page = session.run(_ask(session, DeadLetterList(after=after, limit=limit)))
    if session.as_json:
        for letter in page.letters:
            session.json_line(letter)
        return
    from nerv.cli.tables import seconds, table

    now = time.time()
    session.data(
        table(
            ("NUMBER", "AGE", "REASON", "TYPE", "SOURCE", "TARGET", "BYTES"),
            (
                (
                    str(letter.number),
                    seconds(now - letter.at),
                    letter.reason,
                    letter.type,
                    letter.source,
                    letter.target,
                    str(letter.payload_bytes),
                )
                for letter in page.letters
            ),
        )
    )
    if page.dropped:
        session.note(f"{page.dropped} older ones were pushed out by newer ones")


@deadletter.command()
@click.argument("number", type=int)
@click.pass_obj
def show(session: Session, number: int) -> None:
    """Show one with its payload."""
    letter = session.run(_ask(session, DeadLetterShow(number=number))).letters[0]
    if session.as_json:
        session.json_line(letter)
        return
    for name in DeadLetterView.__struct_fields__:
        session.data(f"{name:<14}{getattr(letter, name)}")


@deadletter.command()
@click.argument("number", type=int, required=False)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--seconds", type=click.FloatRange(min=0.1, max=3600), default=30.0, show_default=True)
@click.pass_obj
def resend(session: Session, number: int | None, everything: bool, seconds: float) -> None:
    """Send one again, with a new deadline. Its sender has given up on it: the answer is nobody's.

    One that expired may have been a reminder of a command that its target was working on: it may then be done twice.
    """
    chosen = _chosen(session, number, everything)
    counted = session.run(_ask(session, DeadLetterResend(number=chosen, seconds=seconds)))
    session.note(f"{counted.count} sent again")


@deadletter.command()
@click.argument("number", type=int, required=False)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def drop(session: Session, number: int | None, everything: bool, yes: bool) -> None:
    """Forget one, or all of them."""
    chosen = _chosen(session, number, everything)
    if everything and not yes:
        if not sys.stdin.isatty():
            session.fail(
                "dropping all dead letters needs --yes here: there is no terminal to ask on", ExitCode.USAGE
            )
        click.confirm("Drop all dead letters?", default=False, abort=True, err=True)
    counted = session.run(_ask(session, DeadLetterDrop(number=chosen)))
    session.note(f"{counted.count} dropped")


def _chosen(session: Session, number: int | None, everything: bool) -> int | None:
    """The number, or None for all of them."""
    if (number is None) != everything:
        session.fail("name one dead letter by its number, or --all", ExitCode.USAGE)
    return number


async def _ask(session: Session, command: Command[R]) -> R:
    async with session.client() as client:
        return await client.request(BUS_NAME, command)
