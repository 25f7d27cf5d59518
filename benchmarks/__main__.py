"""`python -m benchmarks [bus|queue|driver|supervision …]`: each in a process of its own, one JSON document."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

BENCHMARKS = ("bus", "queue", "driver", "supervision")
SECONDS = 1200
PACKAGES = ("nerv-runtime", "pyzmq", "msgspec", "uvloop", "apsw", "playwright", "nats-py", "huey")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _run(name: str) -> Any:
    ended = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}"], stdout=subprocess.PIPE, timeout=SECONDS, check=False
    )
    if ended.returncode:
        return {"error": f"ended with {ended.returncode}"}
    return json.loads(ended.stdout)


def main() -> int:
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        print(
            f"unknown benchmark {', '.join(sorted(unknown))}; there are: {', '.join(BENCHMARKS)}",
            file=sys.stderr,
        )
        return 2
    results = {name: _run(name) for name in names}
    report = {
        "processor": _processor(),
        "versions": _versions(),
        "results": results,
    }
    print(json.dumps(report, indent=2))
    return 1 if any("error" in result for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
