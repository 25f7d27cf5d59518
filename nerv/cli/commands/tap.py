"""`nerv tap`"""

from __future__ import annotations

import time

import click

from nerv.bus.messages import Tapped
from nerv.cli.session import Session


@click.command()
@click.option("--type", "type_name", metavar="TYPE", help="Only types that begin so, for example task.")
@click.option("--actor", metavar="NAME", help="Only what this peer sends or receives.")
@click.option("--correlation", metavar="ID", help="Only what belongs to one request, across actors.")
@click.option("--limit", type=click.IntRange(min=1), help="End after so many.")
@click.option("--timeout", type=click.FloatRange(min=0.1), help="End after so many seconds.")
@click.pass_obj
def tap(
    session: Session,
    type_name: str | None,
    actor: str | None,
    correlation: str | None,
    limit: int | None,
    timeout: float | None,
) -> None:
    """Watch the headers of envelopes as the broker routes them. Costs nothing while nobody watches.

    \b
    nerv tap --type task. --timeout 5
    """
    session.run(_tap(session, type_name or "", actor, correlation, limit, timeout))


async def _tap(
    session: Session,
    type_name: str,
    actor: str | None,
    correlation: str | None,
    limit: int | None,
    timeout: float | None,
) -> None:
    import asyncio
    from contextlib import suppress

    shown = 0
    with suppress(TimeoutError):
        async with (
            asyncio.timeout(timeout),
            session.client() as client,
            client.subscribe(f"tap.{type_name}", capacity=8192) as events,
        ):
            session.note("watching …")
            async for event in events:
                if event.gap:
                    session.note(f"({event.gap} not shown: too fast for this reader)")
                header = event.message
                if not isinstance(header, Tapped) or not _wanted(header, actor, correlation):
                    continue
                session.json_line(header) if session.as_json else session.data(_line(header))
                shown += 1
                if shown == limit:
                    return


def _wanted(header: Tapped, actor: str | None, correlation: str | None) -> bool:
    return (actor is None or actor in (header.source, header.target)) and (
        correlation is None or correlation in (header.correlation, header.id)
    )


def _line(header: Tapped) -> str:
    clock = (
        time.strftime("%H:%M:%S", time.localtime(header.sent_at))
        + f".{int(header.sent_at * 1000) % 1000:03d}"
    )
    return (
        f"{clock}  {header.kind:<8} {header.type:<18} {header.source} → {header.target}  {header.payload_bytes} B  "
        f"{header.correlation or header.id}"
    )
