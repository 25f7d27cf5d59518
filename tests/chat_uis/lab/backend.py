"""The replies that every front end here streams: the playground's own texts and pauses.

Imported inside the front ends' own virtual environments, where nothing of NERV is installed.
Settings: NERV_LAB_CHUNKS, NERV_LAB_SECONDS, NERV_LAB_PAUSE, NERV_LAB_SLOW, and NERV_LAB_LOG, a file that gets one
JSON line for each prompt received and each chunk sent.
"""

import asyncio
import json
import os
import sys
import time
import types
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[3]


def _without_init(name: str) -> None:
    # The real package's `__init__` imports what only NERV's own environment has.
    package = types.ModuleType(name)
    package.__path__ = [str(_ROOT.joinpath(*name.split(".")))]
    sys.modules.setdefault(name, package)


_without_init("drivers")
_without_init("drivers.playground")

from drivers.playground.prompt import digest, read  # noqa: E402
from drivers.playground.script import Append, Fail, Pace, Step, script_for  # noqa: E402


class BackendFailed(RuntimeError):
    """The reply breaks off here: the prompt asked for the fault `error`."""


def _pace() -> Pace:
    usual = Pace()
    return Pace(
        chunks=int(os.environ.get("NERV_LAB_CHUNKS", usual.chunks)),
        seconds=float(os.environ.get("NERV_LAB_SECONDS", usual.seconds)),
        pause=float(os.environ.get("NERV_LAB_PAUSE", usual.pause)),
        slow=float(os.environ.get("NERV_LAB_SLOW", usual.slow)),
    )


def _log(asked: str, **record: str | int) -> None:
    path = os.environ.get("NERV_LAB_LOG")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"t": time.time(), "h": digest(asked), **record}) + "\n")


def _steps(prompt: str) -> Iterator[Step]:
    _log(prompt, event="prompt", prompt=prompt)
    directive = read(prompt)
    yield from script_for(prompt, _pace(), fault=directive.fault, argument=directive.argument)


def _text(prompt: str, index: int, step: Step) -> str:
    if isinstance(step, Fail):
        raise BackendFailed(step.message)
    if not isinstance(step, Append):
        return ""
    _log(prompt, event="chunk", i=index, len=len(step.text))
    return step.text


def chunks(prompt: str) -> Iterator[str]:
    """The reply to `prompt`, piece by piece, with real pauses. Raises `BackendFailed` where asked."""
    for index, step in enumerate(_steps(prompt)):
        time.sleep(min(step.wait, 3600))
        yield _text(prompt, index, step)


async def achunks(prompt: str) -> AsyncIterator[str]:
    """`chunks` for an event loop."""
    for index, step in enumerate(_steps(prompt)):
        await asyncio.sleep(min(step.wait, 3600))
        yield _text(prompt, index, step)
