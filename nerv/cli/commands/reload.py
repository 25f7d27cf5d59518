"""`nerv reload`"""

from __future__ import annotations

import click

from nerv.cli.session import Session
from nerv.messages import SUPERVISOR, Reloaded, SupervisorReload


@click.command()
@click.pass_obj
def reload(session: Session) -> None:
    """Read supervisor.toml again. What did not change goes on undisturbed; a wrong file changes nothing."""
    answer = session.run(_reload(session))
    if session.as_json:
        session.json_line(answer)
        return
    for word, names in (
        ("added", answer.added),
        ("removed", answer.removed),
        ("restarted", answer.restarted),
    ):
        session.data(f"{word}: {', '.join(names) or 'none'}")


async def _reload(session: Session) -> Reloaded:
    async with session.client() as client:
        return await client.request(SUPERVISOR, SupervisorReload(), timeout=60.0)
