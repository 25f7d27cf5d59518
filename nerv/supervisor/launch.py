"""How an actor's process is started: command line, environment, folders. Blocking: runs in a thread."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable

from nerv.bus.envelope import Incarnation
from nerv.instance import Instance
from nerv.supervisor.process import Launch
from nerv.supervisor.specification import ActorSpec

MAX_OUTPUT_BYTES = 5_000_000
PRIVATE = ("NERV_WATCHDOG_FD", "NERV_PROGRESS_FD", "NOTIFY_SOCKET")
"""Variables of the supervisor that are none of its children's business."""

Command = Callable[[ActorSpec, str], tuple[str, ...]]
"""From an actor and the run marker to the command line. A parameter, so that tests can start small children."""


def actor_command(spec: ActorSpec, run: str) -> tuple[str, ...]:
    """The command line of a real actor. The run marker on it is how the next start finds what this run left."""
    # As an option of the interpreter (-X takes any name) it is on the command line without being an argument.
    return (sys.executable, "-X", f"nerv-run={run}", "-m", "nerv.child", spec.run)


def incarnation_mark(incarnation: Incarnation) -> str:
    """In the environment of every process that one life of one actor started."""
    return f"NERV_INCARNATION={incarnation}"


def prepare(
    instance: Instance, spec: ActorSpec, incarnation: Incarnation, run: str, command: Command
) -> Launch:
    """Make the actor's folders, turn over its output file, build its environment. Raises OSError."""
    scratch = instance.scratch / spec.name
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    instance.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    output = instance.logs / f"{spec.name}.out"
    if output.exists() and output.stat().st_size > MAX_OUTPUT_BYTES:
        output.replace(output.with_name(output.name + ".1"))
    environment = {name: value for name, value in os.environ.items() if name not in PRIVATE}
    environment |= {
        "NERV_INSTANCE": instance.name,
        "NERV_ACTOR": spec.name,
        "NERV_INCARNATION": incarnation,
        "NERV_RUN": run,
        "NERV_SETTINGS": bytes(spec.settings).decode(),
        "TMPDIR": str(scratch),
    }
    descriptor = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return Launch(argv=command(spec, run), environment=environment, output=descriptor)


def sweep_scratch(instance: Instance, actor: str) -> None:
    """Remove what an actor left in its temporary folder."""
    shutil.rmtree(instance.scratch / actor, ignore_errors=True)
