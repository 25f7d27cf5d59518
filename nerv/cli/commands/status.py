"""`nerv status`"""

from __future__ import annotations

import time

import click

from nerv.cli.session import Session
from nerv.messages import SUPERVISOR, ActorState, ClusterStatus, SupervisorStatus


@click.command()
@click.option("--timeout", type=click.FloatRange(min=0.1), default=5.0, show_default=True, help="Seconds.")
@click.pass_obj
def status(session: Session, timeout: float) -> None:
    """Show every actor: its state, pid, uptime, restarts, processor and memory."""
    cluster = session.run(_ask(session, timeout))
    if session.as_json:
        session.json_line(cluster)
        return
    from nerv.cli.tables import megabytes, seconds, table

    now = time.time()
    session.data(
        f"instance {cluster.instance}, supervisor pid {cluster.supervisor_pid}, up {seconds(now - cluster.started_at)}"
    )
    rows = (
        (
            actor.name,
            actor.state,
            str(actor.pid or "-"),
            seconds(now - actor.started_at if actor.started_at and actor.state is ActorState.READY else None),
            str(actor.restarts),
            f"{actor.cpu_percent:.1f}",
            megabytes(actor.memory_bytes),
            actor.last_exit or "",
        )
        for actor in cluster.actors
    )
    session.data(table(("ACTOR", "STATE", "PID", "UPTIME", "RESTARTS", "CPU%", "MEMORY", "LAST EXIT"), rows))


async def _ask(session: Session, timeout: float) -> ClusterStatus:
    async with session.client() as client:
        return await client.request(SUPERVISOR, SupervisorStatus(), timeout=timeout)
