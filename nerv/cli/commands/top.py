"""`nerv top`"""

from __future__ import annotations

from pathlib import Path

import click

from nerv.cli.session import Session


@click.command()
@click.option("--read-only", is_flag=True, help="No key changes anything.")
@click.option(
    "--screenshot", type=click.Path(dir_okay=False, path_type=Path), help="Save one picture (SVG) and leave."
)
@click.option("--size", type=(int, int), default=(120, 32), show_default=True, metavar="COLUMNS ROWS")
@click.pass_obj
def top(session: Session, read_only: bool, screenshot: Path | None, size: tuple[int, int]) -> None:
    """Watch actors, tasks, replies and logs live. Works at 80x24; survives the cluster going away."""
    from tui.app import run

    elsewhere = (session.bus, session.client) if session.bus is not None else None
    code = run(
        session.instance_name, elsewhere=elsewhere, read_only=read_only, screenshot=screenshot, size=size
    )
    if code:
        raise click.exceptions.Exit(code)
