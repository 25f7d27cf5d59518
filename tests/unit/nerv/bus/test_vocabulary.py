"""The vocabulary: what answers a command, commands from JSON, and what it says to wrong ones."""

from __future__ import annotations

import pytest

from kernel.messages import TaskAccepted, TaskSubmit
from nerv.bus.vocabulary import VOCABULARY, Command, Message, Vocabulary
from nerv.errors import ErrorCode, NervError
from nerv.messages import ActorRestart, Ok, SupervisorReload


def test_a_command_says_in_its_base_what_answers_it() -> None:
    assert VOCABULARY.named("task.submit").reply is TaskAccepted
    assert VOCABULARY.named("actor.restart").reply is Ok


def test_a_command_without_an_answer_is_refused_when_it_is_registered() -> None:
    class Silent(Command, frozen=True, kw_only=True):  # type: ignore[type-arg]  # that is what is wrong
        pass

    with pytest.raises(TypeError, match="does not say what answers it"):
        Vocabulary().command("test.silent", target=None)(Silent)


def test_a_name_is_registered_once() -> None:
    vocabulary = Vocabulary()

    class Said(Message, frozen=True, kw_only=True):
        pass

    vocabulary.reply("test.said")(Said)
    with pytest.raises(ValueError, match="registered twice"):
        vocabulary.reply("test.said")(Said)


def test_an_answer_of_another_type_is_an_error_not_a_surprise() -> None:
    payload = VOCABULARY.encode(Ok())
    assert VOCABULARY.decode_reply(ActorRestart(name="x"), "ok", payload) == Ok()
    with pytest.raises(NervError, match="SupervisorReload was answered with 'ok'") as refused:
        VOCABULARY.decode_reply(SupervisorReload(), "ok", payload)
    assert refused.value.code is ErrorCode.BAD_PAYLOAD


def test_a_command_from_json_knows_whom_it_is_for() -> None:
    target, command = VOCABULARY.parse("task.submit", '{"provider": "p", "prompt": "hello"}')
    assert (target, command) == ("queue", TaskSubmit(provider="p", prompt="hello"))
    assert VOCABULARY.parse("supervisor.reload", "{}", "elsewhere")[0] == "elsewhere"


@pytest.mark.parametrize(
    ("name", "json", "code", "field"),
    [
        ("task.sbmit", "{}", ErrorCode.UNKNOWN_TYPE, "type"),
        ("task.accepted", "{}", ErrorCode.INVALID, "type"),
        ("attempt.cancel", "{}", ErrorCode.INVALID, "target"),
        ("task.submit", '{"provider": 3, "prompt": "x"}', ErrorCode.BAD_PAYLOAD, "provider"),
        ("task.submit", '{"provider": "p", "prompt": "x", "wrong": 1}', ErrorCode.BAD_PAYLOAD, "wrong"),
        ("task.submit", "{", ErrorCode.BAD_PAYLOAD, None),
    ],
)
def test_a_wrong_command_is_told_by_code_and_field(
    name: str, json: str, code: ErrorCode, field: str | None
) -> None:
    with pytest.raises(NervError) as refused:
        VOCABULARY.parse(name, json)
    assert (refused.value.code, refused.value.info.field) == (code, field)


def test_every_command_of_the_vocabulary_is_answered_by_a_reply_of_it() -> None:
    for entry in VOCABULARY:
        if issubclass(entry.struct, Command):
            assert entry.reply is not None
            assert VOCABULARY.of(entry.reply).reply is None
