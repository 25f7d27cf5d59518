"""The conversations a playground keeps: who said what, how far each reply is. No I/O, no clock."""

from collections import Counter
from enum import StrEnum
from typing import NewType

from msgspec import Struct

from drivers.playground.prompt import Fault, digest, normalise

ConversationId = NewType("ConversationId", str)

MAX_CONVERSATIONS = 5_000
MAX_TURNS = 500
MAX_PROMPT_CHARACTERS = 500_000
MAX_PROMPTS_COUNTED = 200_000
TITLE_CHARACTERS = 48


class Phase(StrEnum):
    GENERATING = "generating"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


class Refused(Exception):
    """A request the model cannot serve. `code` is an HTTP status, `reason` a sentence for a person."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Update(Struct, frozen=True, kw_only=True):
    """What a watcher at (revision, offset) has not seen. `replaces` says that its text is void."""

    text: str
    replaces: bool
    revision: int
    offset: int
    phase: Phase
    error: str


class Turn:
    """A prompt and its reply, which only grows, unless a new revision replaces it."""

    def __init__(self, prompt: str, *, fault: Fault, argument: float | None, half: int) -> None:
        self.prompt = prompt
        self.fault = fault
        self.argument = argument
        self.half = half
        self.text = ""
        self.revision = 0
        self.phase = Phase.GENERATING
        self.error = ""
        self._cut_pending = fault is Fault.CUT

    def append(self, text: str) -> None:
        self._must_be_generating()
        self.text += text

    def replace(self, text: str) -> None:
        self._must_be_generating()
        self.text = text
        self.revision += 1

    def finish(self) -> None:
        self._must_be_generating()
        self.phase = Phase.DONE

    def fail(self, message: str) -> None:
        self._must_be_generating()
        self.phase, self.error = Phase.FAILED, message

    def stop(self) -> bool:
        """Cut the reply off where it is. False when it had ended already."""
        if self.phase is not Phase.GENERATING:
            return False
        self.phase = Phase.STOPPED
        return True

    def take_cut(self) -> bool:
        """True exactly once, for the watcher whose connection the fault `cut` drops."""
        pending, self._cut_pending = self._cut_pending, False
        return pending

    def since(self, revision: int, offset: int) -> Update:
        """What comes after `offset` characters of `revision`; everything when the revision is another one."""
        same = revision == self.revision and 0 <= offset <= len(self.text)
        return Update(
            text=self.text[offset:] if same else self.text,
            replaces=not same,
            revision=self.revision,
            offset=len(self.text),
            phase=self.phase,
            error=self.error,
        )

    def _must_be_generating(self) -> None:
        if self.phase is not Phase.GENERATING:
            raise ValueError(f"the reply has ended as {self.phase}")


class Conversation:
    """A thread of turns. `ui` and `via` are the variants it was begun with."""

    def __init__(self, conversation_id: ConversationId, *, ui: str, via: str) -> None:
        self.id = conversation_id
        self.ui = ui
        self.via = via
        self.turns: list[Turn] = []

    @property
    def title(self) -> str:
        line = " ".join(self.turns[0].prompt.split()) if self.turns else ""
        return line if len(line) <= TITLE_CHARACTERS else line[: TITLE_CHARACTERS - 1] + "…"

    @property
    def generating(self) -> bool:
        return bool(self.turns) and self.turns[-1].phase is Phase.GENERATING


class Stats(Struct, frozen=True, kw_only=True):
    """`received` counts the prompts that got a reply, `refused` those that met a login wall, a limit or a
    challenge; both by `digest(prompt)`. A prompt sent twice counts two."""

    received: dict[str, int]
    refused: dict[str, int]
    prompts_total: int
    active_generations: int
    conversations: int


class Library:
    """All conversations. Full: the oldest conversation without a running reply makes room."""

    def __init__(self, *, max_conversations: int = MAX_CONVERSATIONS) -> None:
        self._max = max_conversations
        self._conversations: dict[ConversationId, Conversation] = {}
        self._received: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def find(self, conversation_id: ConversationId) -> Conversation:
        """Raises `Refused` 404."""
        try:
            return self._conversations[conversation_id]
        except KeyError:
            raise Refused(404, f"there is no conversation {conversation_id!r} here") from None

    def newest_first(self) -> list[Conversation]:
        return list(reversed(self._conversations.values()))

    def send(
        self,
        prompt: str,
        conversation_id: ConversationId,
        *,
        fault: Fault,
        argument: float | None,
        half: int,
        ui: str,
        via: str,
    ) -> Turn:
        """Accept a prompt: begin or continue the conversation. Raises `Refused` and then changes nothing."""
        if not normalise(prompt):
            raise Refused(400, "the prompt is empty")
        if len(prompt) > MAX_PROMPT_CHARACTERS:
            raise Refused(413, f"the prompt is longer than {MAX_PROMPT_CHARACTERS} characters")
        if len(self._received) >= MAX_PROMPTS_COUNTED:
            raise Refused(507, "this playground has counted all the prompts it can: start a new one")
        conversation = self._conversations.get(conversation_id)
        if conversation is None:
            self._make_room()
            conversation = Conversation(conversation_id, ui=ui, via=via)
            self._conversations[conversation_id] = conversation
        if conversation.generating:
            raise Refused(409, "the previous reply of this conversation is still being written")
        if len(conversation.turns) >= MAX_TURNS:
            raise Refused(409, f"this conversation has {MAX_TURNS} turns, which is its limit")
        turn = Turn(prompt, fault=fault, argument=argument, half=half)
        conversation.turns.append(turn)
        self._received[digest(prompt)] += 1
        return turn

    def refuse(self, prompt: str) -> int:
        """Count a refusal of `prompt`; returns how often it was refused before."""
        mark = digest(prompt)
        before = self._refused[mark]
        if before or len(self._refused) < MAX_PROMPTS_COUNTED:
            self._refused[mark] += 1
        return before

    def refusals(self, prompt: str) -> int:
        return self._refused.get(digest(prompt), 0)

    def stats(self) -> Stats:
        return Stats(
            received=dict(self._received),
            refused=dict(self._refused),
            prompts_total=self._received.total(),
            active_generations=sum(c.generating for c in self._conversations.values()),
            conversations=len(self._conversations),
        )

    def _make_room(self) -> None:
        if len(self._conversations) < self._max:
            return
        for conversation_id, conversation in self._conversations.items():
            if not conversation.generating:
                del self._conversations[conversation_id]
                return
        raise Refused(503, f"{self._max} replies are being written at once: try again later")
