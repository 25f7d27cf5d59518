"""Runs a real supervisor whose actors are `dummy.py`. Started below the watchdog, as `nerv up` does it."""

import os
import sys
from pathlib import Path

from nerv.instance import Instance
from nerv.supervisor.main import run_supervisor
from nerv.supervisor.specification import ActorSpec

DUMMY = Path(__file__).with_name("dummy.py")


def command(spec: ActorSpec, run: str) -> tuple[str, ...]:
    return (sys.executable, "-S", str(DUMMY), f"--nerv-run={run}")


if __name__ == "__main__":
    status = run_supervisor(Instance.locate(), Path(sys.argv[1]), command=command)
    os._exit(status)
