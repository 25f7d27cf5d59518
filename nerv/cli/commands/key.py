"""`nerv key`"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nerv.cli.session import Session

if TYPE_CHECKING:
    from nerv.bus.remote.keys import KeyRing, RoleName

ROLES = ("viewer", "submitter", "operator", "admin")


@click.group()
def key() -> None:
    """Keys for clients that reach the bus over TCP. They work on the files of this instance; no cluster is needed.

    A cluster listens with `listen = "tcp://ADDRESS:PORT"` in [actor.bus.settings] of supervisor.toml.
    """


@key.command()
@click.argument("name")
@click.option(
    "--role", type=click.Choice(ROLES), required=True, help="What it may do; each may do all before it."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where its secret goes, once (default: NAME.key in this folder).",
)
@click.pass_obj
def new(session: Session, name: str, role: RoleName, out: Path | None) -> None:
    """Make a key and write its file, readable by you only. A running cluster knows it at once.

    viewer: reads tasks and replies. submitter: also submits, cancels, retries. operator: also providers, restarts,
    dead letters, the tap. admin: everything, publishing and stopping the cluster included.

    \b
    nerv key new ann --role submitter
    nerv --bus tcp://HOST:7201 --key ann.key status
    """
    from nerv.bus.remote.keys import write_client_key

    path = out or Path(f"{name}.key")
    ring = _ring(session)
    made = ring.add(name, role, time.time())
    try:
        write_client_key(path, made)
    except BaseException:
        ring.revoke(name)
        raise
    if session.as_json:
        session.json_line({"name": name, "role": role, "public": made.public, "file": str(path)})
        return
    session.data(str(path))
    session.note(
        f"{name} is a {role}; the secret is in this file only. With it: nerv --bus ADDRESS --key {path} status"
    )


@key.command()
@click.pass_obj
def ls(session: Session) -> None:
    """List the keys."""
    known = _ring(session).known()
    if session.as_json:
        for name, entry in sorted(known.items()):
            session.json_line(
                {"name": name, "role": entry.role, "public": entry.public, "created_at": entry.created_at}
            )
        return
    from nerv.cli.tables import seconds, table

    now = time.time()
    rows = (
        (name, entry.role, seconds(now - entry.created_at), entry.public)
        for name, entry in sorted(known.items())
    )
    session.data(table(("NAME", "ROLE", "AGE", "PUBLIC KEY"), rows))


@key.command()
@click.argument("name")
@click.pass_obj
def revoke(session: Session, name: str) -> None:
    """Forget a key. A running cluster cuts off its peers within a second."""
    gone = _ring(session).revoke(name)
    session.note(f"{name} ({gone.role}) is revoked")


def _ring(session: Session) -> KeyRing:
    from nerv.bus.remote.keys import KeyRing

    return KeyRing(session.instance.keys)
