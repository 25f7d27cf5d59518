"""`nerv version`"""

from __future__ import annotations

import platform
from importlib import metadata

import click

from nerv.cli.session import Session


@click.command()
@click.pass_obj
def version(session: Session) -> None:
    """Print the version of NERV and of the parts that matter for a bug report."""
    import zmq

    from nerv.bus.envelope import PROTOCOL_VERSION

    facts = {
        "nerv": metadata.version("nerv-runtime"),
        "protocol": str(PROTOCOL_VERSION),
        "python": platform.python_version(),
        "zeromq": zmq.zmq_version(),
        "pyzmq": metadata.version("pyzmq"),
        "apsw": metadata.version("apsw"),
        "playwright": metadata.version("playwright"),
        "textual": metadata.version("textual"),
    }
    if session.as_json:
        session.json_line(facts)
        return
    for name, value in facts.items():
        session.data(f"{name:<11}{value}")
