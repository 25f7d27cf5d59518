"""The supervisor: starts, watches, restarts and ends the processes of an instance, and does nothing else.

What may not come in: browsers, databases, anything that knows of tasks. See the modules `control` (from outside),
`specification` (supervisor.toml), `restart` and `order` (the rules), `supervisor` (the shell around them).
"""

from __future__ import annotations

from nerv.supervisor.control import (
    AlreadyRunning,
    Running,
    reload_running,
    run_foreground,
    running_info,
    start_detached,
    stop_running,
)

__all__ = (
    "AlreadyRunning",
    "Running",
    "reload_running",
    "run_foreground",
    "running_info",
    "start_detached",
    "stop_running",
)
