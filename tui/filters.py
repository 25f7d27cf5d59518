"""The task filter: words that must all fit. ``!word`` must not; ``state:``, ``provider:``, ``id:`` name a field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kernel.tasks import Task

HELP = "words must all fit · !not · state:dead · provider:name · id:…"

_FIELDS: dict[str, Callable[[Task], str]] = {
    "state": lambda task: task.state.value,
    "stage": lambda task: task.stage.value,
    "provider": lambda task: task.provider,
    "account": lambda task: task.account,
    "batch": lambda task: task.batch or "",
    "worker": lambda task: task.lease.owner if task.lease else "",
    "error": lambda task: f"{task.error.kind} {task.error.reason}" if task.error else "",
    "id": lambda task: task.id,
    "prompt": lambda task: task.prompt,
}
_ANYWHERE = ("state", "provider", "id", "prompt", "worker", "error")


@dataclass(frozen=True, kw_only=True)
class _Term:
    text: str
    field: str | None
    negated: bool

    def fits(self, task: Task) -> bool:
        names = (self.field,) if self.field else _ANYWHERE
        found = any(self.text in _FIELDS[name](task).casefold() for name in names)
        return found != self.negated


@dataclass(frozen=True)
class TaskFilter:
    """A parsed filter. Every text is a valid filter: an unknown ``field:`` is searched for as it stands."""

    text: str = ""

    @property
    def terms(self) -> tuple[_Term, ...]:
        found = []
        for word in self.text.casefold().split():
            negated = word.startswith("!") and len(word) > 1
            word = word.removeprefix("!") if negated else word
            name, colon, rest = word.partition(":")
            if colon and name in _FIELDS:
                if rest:
                    found.append(_Term(text=rest, field=name, negated=negated))
            else:
                found.append(_Term(text=word, field=None, negated=negated))
        return tuple(found)

    def apply(self, tasks: tuple[Task, ...]) -> tuple[Task, ...]:
        terms = self.terms
        if not terms:
            return tasks
        return tuple(task for task in tasks if all(term.fits(task) for term in terms))
