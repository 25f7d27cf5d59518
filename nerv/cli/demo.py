"""The demo's story: start, discover, stream through two browsers, kill one, count what arrived."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from drivers.playground import Pace, Playground, launch, reply_for
from kernel.messages import KERNEL, ProviderAdd, TaskSubmit
from kernel.tasks import TaskState
from kernel.work import follow, submit
from nerv.cli.demo_view import DemoView, Line
from nerv.cli.session import Session
from nerv.client import Client
from nerv.messages import SUPERVISOR, ActorStatus, SupervisorStatus
from nerv.supervisor.control import start_detached, stop_running

if TYPE_CHECKING:
    import psutil

PROVIDER = "playground"
PROMPTS = (
    "Why do supervisors restart actors?",
    "long What does a lease token protect?",
    "How does a circuit breaker close again?",
    "code Show me a bounded queue",
    "What is backpressure?",
    "unicode Greet me in many scripts",
)
KILL_AT = 400
"""Characters that both browsers have streamed when one of them is killed."""
UP_SECONDS = 60.0
DISCOVERY_SECONDS = 60.0
TASK_SECONDS = 120.0


async def run_demo(session: Session, *, keep: bool) -> bool:
    """True when every reply is whole and each prompt arrived once."""
    began = time.monotonic()
    instance = session.instance
    async with launch(pace=Pace(seconds=4.0)) as playground:
        click.echo(f"A small chat site runs at {playground.url}")
        running = await asyncio.to_thread(
            start_detached, instance, None, timeout=UP_SECONDS, note=session.note
        )
        try:
            click.echo(
                f"The cluster is up after {time.monotonic() - began:.1f} s (supervisor pid {running.pid})."
            )
            async with session.client() as client:
                await _discover(client, playground)
                lines = await _stream(client)
            good = await _count(playground, lines)
            click.echo(f"The demo took {time.monotonic() - began:.0f} s.")
            if keep:
                await _keep(session, playground)
            return good
        finally:
            await asyncio.to_thread(stop_running, instance, timeout=UP_SECONDS)


async def _discover(client: Client, playground: Playground) -> None:
    click.echo("NERV looks at the page, which it has never seen, and proves it by one exchange …")
    added = await client.request(
        KERNEL, ProviderAdd(url=playground.url, name=PROVIDER, replace=True), timeout=DISCOVERY_SECONDS
    )
    click.echo(f"  input {added.input}\n  send  {added.send}\n  reply {added.reply}\n  wire  {added.stream}")


async def _stream(client: Client) -> list[Line]:
    """Submit the prompts, show their replies, kill a browser in the middle."""
    lines = []
    for prompt in PROMPTS:
        accepted = await submit(client, TaskSubmit(provider=PROVIDER, prompt=prompt, timeout=TASK_SECONDS))
        lines.append(Line(task=accepted.id, prompt=prompt))
    with DemoView(lines) as view:
        async with asyncio.TaskGroup() as group:
            for line in lines:
                group.create_task(_follow(client, line, view), name=f"follow {line.task}")
            group.create_task(_kill_a_browser(client, lines, view), name="kill a browser")
    return lines


async def _follow(client: Client, line: Line, view: DemoView) -> None:
    async for step in follow(client, line.task):
        line.see(step)
        view.refresh()


async def _kill_a_browser(client: Client, lines: list[Line], view: DemoView) -> None:
    """Once two drivers stream, kill -9 the Chromium of the first."""
    while True:
        streaming = [line for line in lines if line.length >= KILL_AT and not line.ended]
        if len({line.driver for line in streaming}) >= 2 or all(line.ended for line in lines):
            break
        await asyncio.sleep(0.02)
    victim = next((line for line in streaming), None)
    if victim is None:
        return
    browser = await _browser(client, victim.driver)
    browser.send_signal(signal.SIGKILL)
    view.say(f"kill -9 {browser.pid}: the browser of {victim.driver} is dead, in the middle of its replies")


async def _browser(client: Client, driver: str) -> psutil.Process:
    import psutil

    status = await client.request(SUPERVISOR, SupervisorStatus())
    actor: ActorStatus = next(actor for actor in status.actors if actor.name == driver)
    for child in psutil.Process(actor.pid).children(recursive=True):
        words = child.cmdline()
        if any(word.startswith("--nerv-run=") for word in words) and not any(
            word.startswith("--type=") for word in words
        ):
            return child
    raise LookupError(f"{driver} has no browser")


async def _count(playground: Playground, lines: list[Line]) -> bool:
    """The verdict: each reply against what the site sent, each prompt against what the site received."""
    stats = await playground.stats()
    good = True
    click.echo("")
    for line in lines:
        whole = line.state is TaskState.DONE and line.text == reply_for(line.prompt)
        good = good and whole
        attempts = f"{line.attempt} attempt{'s' if line.attempt != 1 else ''}"
        click.echo(
            f"  {line.state:<5} {len(line.text or ''):>6} characters  {attempts:<11} "
            f"{'exactly as sent' if whole else 'NOT as sent':<16} {line.prompt}"
        )
    twice = sum(count > 1 for count in stats.received.values())
    good = good and not twice
    click.echo(
        f"\n{len(lines)} prompts, {sum(line.ended for line in lines)} ended, "
        f"{twice or 'none'} sent twice, {'nothing' if good else 'SOMETHING'} lost."
    )
    return good


async def _keep(session: Session, playground: Playground) -> None:
    click.echo(
        f"\nThe cluster goes on until Ctrl-C. In another terminal:\n"
        f"  export NERV_HOME={os.environ['NERV_HOME']} NERV_INSTANCE={session.instance.name}\n"
        f"  nerv top\n  nerv ask {PROVIDER} 'hello'"
    )
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
