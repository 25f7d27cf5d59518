"""The root of the command line: global options, the table of commands, and how errors end the process."""

from __future__ import annotations

import importlib
import sys

import click

from nerv.cli.exits import ExitCode, exit_code_of
from nerv.cli.session import Session
from nerv.errors import NervError

COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("up:up", "Start a cluster."),
    "down": ("down:down", "Stop the cluster."),
    "status": ("status:status", "Show every actor."),
    "reload": ("reload:reload", "Read supervisor.toml again; change only what differs."),
    "demo": ("demo:demo", "See two browsers stream, one of them die, and nothing lost."),
    "doctor": ("doctor:doctor", "Name each missing thing and its fix."),
    "top": ("top:top", "Watch the cluster live."),
    "ask": ("ask:ask", "Send a prompt and watch the reply grow."),
    "task": ("task:task", "List, show, cancel, retry tasks."),
    "provider": ("provider:provider", "Add, list, remove chat pages."),
    "actor": ("actor:actor", "Restart an actor."),
    "key": ("key:key", "Make, list, revoke keys for clients on TCP."),
    "messages": ("messages:messages", "Print the message vocabulary with its JSON Schema."),
    "send": ("send:send", "Send any message from the shell."),
    "tap": ("tap:tap", "Watch the headers of envelopes live."),
    "deadletter": ("deadletter:deadletter", "Read, resend, drop what could not be delivered."),
    "version": ("version:version", "Print the version."),
}
"""Each command's place under nerv/cli/commands and its one line of help, so that `nerv --help` imports none."""


GLOBAL_FLAGS = frozenset({"--json", "-q", "--quiet"})
GLOBAL_VALUES = frozenset({"-i", "--instance", "--bus", "--key"})


def hoist(words: list[str]) -> list[str]:
    """Global options may stand anywhere before ``--``: `nerv status --json` means `nerv --json status`."""
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if word == "--":
            return [*front, *rest, word, *waiting]
        if word in GLOBAL_FLAGS or word.startswith(("--instance=", "--bus=", "--key=")):
            front.append(word)
        elif word in GLOBAL_VALUES:
            front += [word, *[value for value in [next(waiting, None)] if value is not None]]
        else:
            rest.append(word)
    return [*front, *rest]


class LazyGroup(click.Group):
    """Imports a command when it is called, not when it is listed."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, hoist(args))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"nerv.cli.commands.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 the task failed, 2 usage or configuration, 3 cannot connect, 4 timed out, "
    "130 interrupted. Data goes to stdout, progress to stderr. The options above may follow the command too.",
)
@click.option(
    "-i", "--instance", metavar="NAME", help="Which instance (default: $NERV_INSTANCE or 'default')."
)
@click.option(
    "--bus",
    metavar="ADDRESS",
    envvar="NERV_BUS",
    help="A cluster elsewhere: tcp://HOST:PORT (default: $NERV_BUS).",
)
@click.option(
    "--key", metavar="FILE", envvar="NERV_KEY_FILE", help="The key file for --bus (default: $NERV_KEY_FILE)."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON (JSON Lines when streaming).")
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@click.version_option(package_name="nerv-runtime", message="nerv %(version)s")
@click.pass_context
def root(
    ctx: click.Context, instance: str | None, bus: str | None, key: str | None, as_json: bool, quiet: bool
) -> None:
    """NERV runs work that only a web page can do: queued durably, driven through real browsers, streamed live.

    Begin with `nerv doctor`, then `nerv up -d`, `nerv provider add URL`, `nerv ask NAME "..."`.
    """
    ctx.obj = Session(instance_name=instance, as_json=as_json, quiet=quiet, bus=bus, key_file=key)


def main() -> None:
    """Entry point of the `nerv` script."""
    try:
        code = root.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = ExitCode.USAGE
    except NervError as error:
        click.echo(f"nerv: {error}", err=True)
        code = exit_code_of(error)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        code = ExitCode.DONE
    sys.exit(int(code or 0))
