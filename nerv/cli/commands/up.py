"""`nerv up`"""

from __future__ import annotations

from pathlib import Path

import click

from nerv.cli.session import Session


@click.command()
@click.option("-d", "--detach", is_flag=True, help="Return when every actor is ready; the cluster goes on.")
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A supervisor.toml (default: the user's, else the one that comes with NERV).",
)
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=60.0, show_default=True, help="For --detach: seconds."
)
@click.pass_obj
def up(session: Session, detach: bool, config: Path | None, timeout: float) -> None:
    """Start the cluster of this instance: supervisor, bus, store, queue, kernel, drivers, telemetry.

    In the foreground Ctrl-C stops it in order; a second Ctrl-C at once.
    """
    if detach:
        from nerv.supervisor.control import start_detached

        running = start_detached(session.instance, config, timeout=timeout, note=session.note)
        session.note(f"instance {session.instance.name} is up, supervisor pid {running.pid}")
        return
    from nerv.supervisor.control import run_foreground

    run_foreground(session.instance, config, quiet=session.quiet)  # this process becomes the cluster
