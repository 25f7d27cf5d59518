"""A maintainer's tool: try NERV's page skills on an address, without a cluster.

python -m drivers.tryout URL "prompt" ["prompt" ...]     discover, then ask each prompt on a warm page
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from drivers.chat import run_chat
from drivers.discovery import discover
from drivers.recipes import write_recipe
from drivers.session import BrowserConfig, BrowserSession
from drivers.trouble import Trouble
from kernel.tasks import Stage


class _Printer:
    def __init__(self) -> None:
        self.text = ""
        self.deltas = 0
        self.rewrites = 0
        self.began = time.perf_counter()

    async def stage(self, stage: Stage, conversation: str | None = None) -> None:
        print(f"  {time.perf_counter() - self.began:7.3f} {stage} {conversation or ''}", file=sys.stderr)

    async def delta(self, text: str, offset: int, rewrite: bool) -> None:
        self.deltas += 1
        self.rewrites += rewrite
        self.text = self.text[:offset] + text


async def _main(url: str, prompts: list[str]) -> int:
    session = await BrowserSession.launch(BrowserConfig(marker=f"tryout-{os.getpid()}"))
    failed = 0
    try:
        began = time.perf_counter()
        recipe = await discover(session, url)
        print(f"# discovered in {time.perf_counter() - began:.1f} s\n{write_recipe(recipe)}", file=sys.stderr)
        for prompt in prompts:
            printer = _Printer()
            lease = await session.lease(recipe.name, "default", recipe)
            try:
                deadline = asyncio.get_running_loop().time() + 180
                result = await run_chat(lease, recipe, prompt, printer, deadline=deadline)
            except Trouble as failing:
                failed += 1
                print(f"# {failing} (at {failing.error.stage})", file=sys.stderr)
                await session.release(lease, reuse=False)
                continue
            await session.release(lease, reuse=True)
            whole = "deltas add up" if printer.text == result.text else "DELTAS DO NOT ADD UP"
            print(
                f"# {result.source} {result.finish} {result.signs} {result.timings} {result.why}\n"
                f"# {printer.deltas} deltas, {printer.rewrites} rewrites, {whole}",
                file=sys.stderr,
            )
            print(result.text)
    finally:
        await session.close()
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(asyncio.run(_main(sys.argv[1], sys.argv[2:])))
