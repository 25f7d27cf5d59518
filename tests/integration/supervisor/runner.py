"""Runs a real supervisor, below the watchdog as `nerv up` does it.

An actor with ``run = "json:X"`` is `dummy.py`; others are what they say.
"""

import os
import sys
from pathlib import Path

from nerv.instance import Instance
from nerv.supervisor.launch import actor_command
from nerv.supervisor.main import run_supervisor
from nerv.supervisor.specification import ActorSpec

DUMMY = Path(__file__).with_name("dummy.py")


def command(spec: ActorSpec, run: str) -> tuple[str, ...]:
    if not spec.run.startswith("json:"):
        return actor_command(spec, run)
    return (sys.executable, "-S", str(DUMMY), f"--nerv-run={run}")


if __name__ == "__main__":
    status = run_supervisor(Instance.locate(), Path(sys.argv[1]), command=command)
    os._exit(status)
