"""A picture of the running monitor without a terminal: for the README, and for reports of what was seen."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from kernel.tasks import TaskState
from tui.app import NervTop
from tui.link import Connect
from tui.model import LinkState

WAIT_SECONDS = 15.0
SETTLE_SECONDS = 4.0
"""After the first data: time for rates, CPU figures and a reply to arrive."""
EXIT_OK, EXIT_NO_CLUSTER = 0, 3


def screen_text(app: NervTop) -> str:
    """The screen as plain text, one line per row; what a reader without colours sees."""
    strips = app.screen._compositor.render_strips(app.size)
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def _reply_is_missing(app: NervTop) -> bool:
    """Whether tasks run, but nothing of a reply is in view yet."""
    running = any(task.state is TaskState.RUNNING for task in app.model.tasks.values())
    return running and not (app.model.reply is not None and app.model.reply.text)


async def take(
    connect: Connect, instance: str, path: Path, size: tuple[int, int], *, settle: float = SETTLE_SECONDS
) -> int:
    """Attach, wait for data, write ``path`` (SVG; plain text if it ends in .txt); returns 0, or 3 without a cluster."""
    app = NervTop(connect, instance)
    async with app.run_test(size=size) as pilot:
        loop = asyncio.get_running_loop()
        end = loop.time() + WAIT_SECONDS
        while not (app.model.actors and app.model.counts) and loop.time() < end:
            await pilot.pause(0.1)
        if app.model.link(app.clock()) is not LinkState.LIVE or not app.model.actors:
            print(
                f"nerv top: no cluster answers for instance {instance!r}. `nerv up` starts one",
                file=sys.stderr,
            )
            return EXIT_NO_CLUSTER
        end = loop.time() + settle
        while loop.time() < end or (_reply_is_missing(app) and loop.time() < end + WAIT_SECONDS):
            await pilot.pause(0.2)
        app.draw(force=True)
        await pilot.pause(0.1)
        picture = (
            screen_text(app)
            if path.suffix == ".txt"
            else app.export_screenshot(title=f"nerv top · {instance}")
        )
    await asyncio.to_thread(path.write_text, picture, encoding="utf-8")
    return EXIT_OK
