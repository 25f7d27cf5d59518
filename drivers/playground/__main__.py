"""`python -m drivers.playground`: serve the playground on loopback."""

import asyncio
import sys
from pathlib import Path

import click

from drivers.playground.script import (
    DEFAULT_PAUSE_SECONDS,
    DEFAULT_PIECES,
    DEFAULT_SECONDS,
    DEFAULT_SLOW_SECONDS,
    Pace,
)
from drivers.playground.server import Options, serve

SECONDS = click.FloatRange(min=0)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 takes a free port."
)
@click.option(
    "--chunks", type=click.IntRange(min=1), default=DEFAULT_PIECES, show_default=True, help="Pieces a reply."
)
@click.option(
    "--seconds", type=SECONDS, default=DEFAULT_SECONDS, show_default=True, help="Time a reply takes."
)
@click.option(
    "--pause",
    type=SECONDS,
    default=DEFAULT_PAUSE_SECONDS,
    show_default=True,
    help="Thinking time of `pause`.",
)
@click.option(
    "--slow", type=SECONDS, default=DEFAULT_SLOW_SECONDS, show_default=True, help="Gap inside `slow`."
)
@click.option(
    "--log", type=click.Path(dir_okay=False, path_type=Path), help="Append a JSON line per prompt and chunk."
)
@click.option("--parent-pid", type=click.IntRange(min=1), help="End when this process is gone.")
def main(
    host: str,
    port: int,
    chunks: int,
    seconds: float,
    pause: float,
    slow: float,
    log: Path | None,
    parent_pid: int | None,
) -> None:
    """A small chat site for demos, tests and benchmarks. Prints READY and its address when it answers."""
    pace = Pace(chunks=chunks, seconds=seconds, pause=pause, slow=slow)
    try:
        asyncio.run(serve(Options(host=host, port=port, pace=pace, log=log, parent=parent_pid)))
    except* OSError as group:
        raise click.ClickException(
            f"--host/--port: cannot serve on {host}:{port}: {group.exceptions[0]}"
        ) from None


if __name__ == "__main__":
    main(prog_name="python -m drivers.playground")
    sys.exit(0)
