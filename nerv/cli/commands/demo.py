"""`nerv demo`"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import click

from nerv.cli.exits import ExitCode
from nerv.cli.session import Session


@click.command()
@click.option(
    "--keep", is_flag=True, help="Leave the cluster running and its folder in place; says how to go on."
)
@click.pass_obj
def demo(session: Session, keep: bool) -> None:
    """A cluster in a temporary folder: two browsers stream, one of them is killed on purpose, nothing is lost."""
    from nerv.cli.demo import run_demo

    home = Path(tempfile.mkdtemp(prefix="nerv-demo-"))
    os.environ["NERV_HOME"] = str(home)
    try:
        good = session.run(
            run_demo(Session(instance_name="demo", as_json=False, quiet=session.quiet), keep=keep)
        )
    finally:
        if not keep:
            shutil.rmtree(home, ignore_errors=True)
    if not good:
        raise click.exceptions.Exit(int(ExitCode.FAILED))
