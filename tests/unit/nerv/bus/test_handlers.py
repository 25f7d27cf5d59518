"""Handlers are collected from marked methods, and bad marks are refused at once."""

from __future__ import annotations

import pytest

from nerv.bus.handlers import Context, collect, handles
from nerv.messages import ActorRestart, Ok, SupervisorStop, Tick


class Base:
    @handles(ActorRestart, ack="on_reply", concurrency=2)
    async def restart(self, _: ActorRestart, __: Context) -> Ok:
        return Ok()

    @handles(SupervisorStop)
    def stop(self, _: SupervisorStop, __: Context) -> Ok:
        return Ok()


def test_marked_methods_become_handlers_by_the_name_of_their_type() -> None:
    table = collect(Base())
    assert {name: (entry.is_async, entry.ack, entry.concurrency) for name, entry in table.items()} == {
        "actor.restart": (True, "on_reply", 2),
        "supervisor.stop": (False, "on_accept", None),
    }


def test_an_event_cannot_be_handled_like_a_command() -> None:
    class Wrong:
        @handles(Tick)
        def tick(self, _: Tick, __: Context) -> Ok:
            return Ok()

    with pytest.raises(ValueError, match="no command"):
        collect(Wrong())


def test_two_handlers_of_one_type_are_refused() -> None:
    class Twice(Base):
        @handles(SupervisorStop)
        def also(self, _: SupervisorStop, __: Context) -> Ok:
            return Ok()

    with pytest.raises(ValueError, match="two handlers"):
        collect(Twice())


def test_a_concurrency_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        handles(SupervisorStop, concurrency=0)
