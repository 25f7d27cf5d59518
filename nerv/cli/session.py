"""What every command shares: the instance, a client, and where output goes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from nerv.cli.exits import ExitCode

if TYPE_CHECKING:
    import msgspec

    from nerv.client import Client
    from nerv.instance import Instance

T = TypeVar("T")

CONNECT_SECONDS = 3.0
"""A broker that is being restarted is back well within this."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """The global options, and what follows from them. Commands get it by ``@click.pass_obj``."""

    instance_name: str | None
    as_json: bool
    quiet: bool
    bus: str | None = None
    """``tcp://HOST:PORT`` of a cluster elsewhere, in place of the instance here."""
    key_file: str | None = None

    @property
    def instance(self) -> Instance:
        from nerv.instance import Instance

        return Instance.locate(self.instance_name)

    def client(self) -> Client:
        """An asynchronous context manager; raises Disconnected when no cluster answers."""
        from nerv.client import Client

        if self.bus is not None:
            return Client(endpoints=self.bus, key_file=self.key_file, connect_timeout=CONNECT_SECONDS)
        return Client(self.instance, connect_timeout=CONNECT_SECONDS)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(work)

    def note(self, text: str) -> None:
        """Progress and diagnostics: to stderr, unless --quiet."""
        if not self.quiet:
            click.echo(text, err=True)

    def data(self, text: str, *, newline: bool = True) -> None:
        click.echo(text, nl=newline)

    def json_line(self, value: msgspec.Struct | dict[str, Any]) -> None:
        import msgspec

        sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
        sys.stdout.buffer.flush()

    def fail(self, text: str, code: ExitCode = ExitCode.FAILED) -> NoReturn:
        """End the command with a message on stderr."""
        click.echo(f"nerv: {text}", err=True)
        raise click.exceptions.Exit(int(code))
