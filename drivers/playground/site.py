"""One running playground: its conversations, its replies, and the rules by which it accepts a prompt."""

import json
import time
from pathlib import Path
from typing import TextIO

from msgspec import Struct

from drivers.playground.conversations import ConversationId, Library, Refused, Turn
from drivers.playground.generation import Generations
from drivers.playground.prompt import Fault, digest, parse_fault, read
from drivers.playground.script import Pace, half_way
from drivers.playground.wire import Start

# These strike in the page: the server only tells it where.
PAGE_FAULTS = frozenset({Fault.HANG, Fault.CRASH, Fault.TYPEWRITER})


class SendRequest(Struct, frozen=True, kw_only=True):
    """The body of `POST /api/send`. `conversation` is chosen by the page and new for a new chat."""

    prompt: str
    conversation: str
    via: str = "sse"
    ui: str = ""
    fault: str = ""


class Passed(Struct, frozen=True, kw_only=True):
    """The gates this visitor is already through."""

    login: bool = False
    challenge: bool = False


class ChunkLog:
    """One JSON line per prompt and chunk, stamped with the wall clock, to measure latency. Optional."""

    def __init__(self, path: Path | None) -> None:
        self._file: TextIO | None = path.open("a", encoding="utf-8", buffering=1) if path else None

    def prompt(self, prompt: str) -> None:
        self._write({"event": "prompt", "h": digest(prompt)})

    def chunk(self, turn: Turn, index: int, text: str) -> None:
        self._write({"event": "chunk", "h": digest(turn.prompt), "i": index, "len": len(text)})

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, record: dict[str, str | int | float]) -> None:
        if self._file is not None:
            self._file.write(json.dumps({"t": time.time(), **record}) + "\n")


class Site:
    """What the routes share."""

    def __init__(self, library: Library, generations: Generations, pace: Pace, log: ChunkLog) -> None:
        self.library = library
        self.generations = generations
        self._pace = pace
        self._log = log

    def accept(self, request: SendRequest, passed: Passed) -> tuple[Turn, Start]:
        """Take a prompt and begin its reply. Raises `Refused`."""
        fault, argument = self._fault(request)
        self._check_gates(request.prompt, fault, argument, passed)
        half = half_way(request.prompt, self._pace)
        conversation_id = ConversationId(request.conversation)
        turn = self.library.send(
            request.prompt,
            conversation_id,
            fault=fault,
            argument=argument,
            half=half,
            ui=request.ui,
            via=request.via,
        )
        self._log.prompt(request.prompt)
        self.generations.begin(turn)
        number = len(self.library.find(conversation_id).turns) - 1
        return turn, Start(
            conversation=conversation_id,
            turn=number,
            half=half,
            page_fault=str(fault) if fault in PAGE_FAULTS else "",
            argument=argument,
        )

    def _fault(self, request: SendRequest) -> tuple[Fault, float | None]:
        directive = read(request.prompt)
        if directive.fault is not Fault.NONE:
            return directive.fault, directive.argument
        return parse_fault(request.fault)

    def _check_gates(self, prompt: str, fault: Fault, argument: float | None, passed: Passed) -> None:
        if fault is Fault.LOGIN and not passed.login:
            self.library.refuse(prompt)
            raise Refused(401, "Please log in to continue.")
        if fault is Fault.CHALLENGE and not passed.challenge:
            self.library.refuse(prompt)
            raise Refused(403, "Please confirm that you are a person.")
        if fault is Fault.RATELIMIT and (argument is None or self.library.refusals(prompt) < argument):
            self.library.refuse(prompt)
            raise Refused(429, "Too many requests. Try again later.")
