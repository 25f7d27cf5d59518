"""`nerv provider`"""

from __future__ import annotations

import click

from kernel.messages import KERNEL, ProviderAdd, ProviderAdded, ProviderList, ProviderPage, ProviderRemove
from nerv.cli.session import Session

DISCOVERY_SECONDS = 180.0


@click.group()
def provider() -> None:
    """The chat pages that NERV can work: shipped recipes, discovered ones, your own."""


@provider.command()
@click.argument("url")
@click.option("--name", help="What to call it (default: from the address).")
@click.option("--probe", metavar="PROMPT", help="The prompt of the one exchange that proves the page.")
@click.option("--replace", is_flag=True, help="Overwrite a provider of that name.")
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=DISCOVERY_SECONDS, show_default=True, help="Seconds."
)
@click.pass_obj
def add(
    session: Session, url: str, name: str | None, probe: str | None, replace: bool, timeout: float
) -> None:
    """Find the input, the send control and the reply area of a chat page, prove them by one exchange, save them.

    \b
    nerv provider add http://127.0.0.1:8080/ --name mychat
    """
    session.note(f"looking at {url} …")
    added = session.run(_add(session, ProviderAdd(url=url, name=name, probe=probe, replace=replace), timeout))
    if session.as_json:
        session.json_line(added)
        return
    session.data(added.name)
    for word, value in (
        ("address", added.address),
        ("input", added.input),
        ("send", added.send),
        ("reply", added.reply),
        ("stream", added.stream),
        ("turns", added.turns),
        ("proof", added.proof),
        ("saved", added.path),
    ):
        session.note(f"  {word:<8} {value}")
    session.note(f'try: nerv ask {added.name} "hello"')


@provider.command()
@click.pass_obj
def ls(session: Session) -> None:
    """List the providers."""
    page = session.run(_list(session))
    if session.as_json:
        for item in page.providers:
            session.json_line(item)
        return
    from nerv.cli.tables import table

    session.data(
        table(
            ("NAME", "ORIGIN", "BREAKER", "TRIED LIVE", "ADDRESS"),
            (
                (
                    item.name,
                    item.origin,
                    item.breaker,
                    "yes" if item.tried_live else "not tried live",
                    item.address,
                )
                for item in page.providers
            ),
        )
    )


@provider.command()
@click.argument("name")
@click.pass_obj
def remove(session: Session, name: str) -> None:
    """Forget a provider that was discovered or written by you. A shipped one of that name shows again."""
    session.run(_remove(session, name))
    session.note(f"{name} removed")


async def _add(session: Session, command: ProviderAdd, timeout: float) -> ProviderAdded:
    async with session.client() as client:
        return await client.request(KERNEL, command, timeout=timeout)


async def _list(session: Session) -> ProviderPage:
    async with session.client() as client:
        return await client.request(KERNEL, ProviderList())


async def _remove(session: Session, name: str) -> None:
    async with session.client() as client:
        await client.request(KERNEL, ProviderRemove(name=name))
