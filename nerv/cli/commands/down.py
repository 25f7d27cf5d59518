"""`nerv down`"""

from __future__ import annotations

import click

from nerv.cli.session import Session


@click.command()
@click.option("--timeout", type=click.FloatRange(min=1), default=60.0, show_default=True, help="Seconds.")
@click.option("--force", is_flag=True, help="Kill everything at once; no accepted task is lost by it.")
@click.pass_obj
def down(session: Session, timeout: float, force: bool) -> None:
    """Stop the cluster in reverse order; running tasks go on at the next `nerv up`."""
    from nerv.supervisor.control import stop_running

    pid = stop_running(session.instance, timeout=timeout, force=force)
    if pid is None:
        session.note(f"instance {session.instance.name} is not running")
    else:
        session.note(f"instance {session.instance.name} is down (supervisor was pid {pid})")
