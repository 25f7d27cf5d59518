"""Replies being written: one asyncio task for each, which goes on when nobody watches."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable

from drivers.playground.conversations import Phase, Turn, Update
from drivers.playground.script import Append, Fail, Pace, Replace, script_for

OnChunk = Callable[[Turn, int, str], None]


class Abandoned(Exception):
    """The server ends while the reply is still being written."""


class Generations:
    """Plays replies into turns, and lets any number of watchers follow them."""

    def __init__(self, tasks: asyncio.TaskGroup, pace: Pace, on_chunk: OnChunk) -> None:
        self._tasks = tasks
        self._pace = pace
        self._on_chunk = on_chunk
        self._running: dict[Turn, asyncio.Task[None]] = {}
        self._changed: dict[Turn, asyncio.Event] = {}

    def begin(self, turn: Turn) -> None:
        self._changed[turn] = asyncio.Event()
        task = self._tasks.create_task(self._play(turn))
        self._running[turn] = task
        # Not a `finally` inside: a task that is cancelled before its first step never gets there.
        task.add_done_callback(lambda _: self._forget(turn))

    def stop(self, turn: Turn) -> bool:
        """Cut a reply off. False when it had ended already."""
        stopped = turn.stop()
        if stopped:
            self._running[turn].cancel()
            self._tell(turn)
        return stopped

    def close(self) -> None:
        """Abandon all replies: their watchers get `Abandoned`, as from a server that dies."""
        for task in self._running.values():
            task.cancel()

    async def watch(self, turn: Turn, revision: int, offset: int) -> AsyncIterator[Update]:
        """What `turn` adds after (revision, offset), until its end, which is the last update.

        Raises `Abandoned` when the server ends first.
        """
        while True:
            # Taken before the look, so that a change between look and wait is not slept through.
            changed = self._changed.get(turn)
            update = turn.since(revision, offset)
            if update.text or update.replaces or update.phase is not Phase.GENERATING:
                yield update
                revision, offset = update.revision, update.offset
            if update.phase is not Phase.GENERATING:
                return
            if changed is None:
                raise Abandoned
            await changed.wait()

    async def _play(self, turn: Turn) -> None:
        index = 0
        for step in script_for(turn.prompt, self._pace, fault=turn.fault, argument=turn.argument):
            if math.isinf(step.wait):
                await asyncio.Event().wait()
            elif step.wait:
                await asyncio.sleep(step.wait)
            match step:
                case Append(text=text):
                    turn.append(text)
                    self._on_chunk(turn, index, text)
                    index += 1
                case Replace(text=text):
                    turn.replace(text)
                case Fail(message=message):
                    turn.fail(message)
                    return
            self._tell(turn)
        turn.finish()

    def _tell(self, turn: Turn) -> None:
        changed = self._changed[turn]
        self._changed[turn] = asyncio.Event()
        changed.set()

    def _forget(self, turn: Turn) -> None:
        del self._running[turn]
        self._changed.pop(turn).set()
