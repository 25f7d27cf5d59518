"""A socket's protocol tells the end of a reply; the end of one of its parts is none."""

from __future__ import annotations

import pytest

from drivers.capture.ending import says_end, says_failure
from drivers.capture.framing import Message
from drivers.capture.live import RuleReader
from drivers.capture.rule import WHOLE, StreamRule


@pytest.mark.parametrize(
    "message",
    [
        Message(value={}, event="end"),
        Message(value={"type": "done"}),
        Message(value={"type": "message_stop"}),
        Message(value={"data": {"done": True, "content": "x"}}),
        Message(value=["chat:complete", {"id": 3}]),
        Message(value={"choices": [{"finish_reason": "stop", "delta": {}}]}),
        Message(value={"event": "streamEnd"}),
    ],
)
def test_what_names_the_end_of_a_reply(message: Message) -> None:
    assert says_end(message)


@pytest.mark.parametrize(
    "message",
    [
        Message(value={"type": "ping"}),
        Message(value={"type": "tool_call_done"}),
        Message(value={"type": "content_block_stop"}),
        Message(value={"done": False, "text": "the end"}),
        Message(value={"type": "token", "text": "done"}),
        Message(value={"type": "append"}),
        Message(value=["the end is near", "done"]),
        Message(value={"choices": [{"finish_reason": None}]}),
    ],
)
def test_what_does_not(message: Message) -> None:
    assert not says_end(message)


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (Message(value={}, event="error"), "error"),
        (
            Message(value={"msg": "process_completed", "output": {"error": None}, "success": False}),
            "success: false",
        ),
        (Message(value={"type": "run", "isError": True, "output": "It stopped."}), "is_error: true"),
        (Message(value={"notification": {"message": {"html": "x", "type": "error"}}}), "type: error"),
        (Message(value={"data": {"status": {"code": "error", "title": "Exception"}}}), "code: error"),
        (Message(value={"error": {"message": "overloaded", "code": 529}}), "overloaded"),
        (Message(value={"error": "out of memory"}), "out of memory"),
        (Message(value={"event": "streamFailed"}), "event: streamFailed"),
        (Message(value=["chat:error", {"id": 3}]), "chat:error"),
    ],
)
def test_what_names_a_failure(message: Message, cause: str) -> None:
    assert says_failure(message, whole=True) == cause


@pytest.mark.parametrize(
    "message",
    [
        Message(value={"error": None, "success": True, "errors": {}, "isError": False}),
        Message(value={"type": "tool_error", "text": "the search failed, trying again"}),
        Message(value={"type": "token", "text": "error"}),
        Message(value={"type": "tool_result", "is_error": True, "content": "not found"}),
        Message(value={"message": {"tool_result": {"error": "not found"}, "text": "Here it is."}}),
        Message(value={"turns": [{"role": "bot", "isError": True, "text": "an old one"}, {"text": "new"}]}),
        Message(value={"title": "error: a history"}),
        Message(value="error"),
    ],
)
def test_what_names_none(message: Message) -> None:
    assert not says_failure(message, whole=True)


def test_beside_a_piece_of_the_reply_only_the_first_level_counts() -> None:
    message = Message(value={"delta": "More", "state": {"isError": True}})
    assert not says_failure(message)
    assert says_failure(message, whole=True)


def test_a_rule_learned_from_a_reply_in_one_piece_joins_the_pieces_of_the_next() -> None:
    rule = StreamRule(url="/chat", transport="http", framing="sse", path="$.delta", mode=WHOLE)
    reader = RuleReader(rule)
    for number, piece in enumerate(("A walk", " by the", " river")):
        reader.feed(Message(value={"delta": piece}), follows=number > 0)
    assert reader.text == "A walk by the river"


def test_a_whole_value_on_another_response_takes_the_place_of_the_one_before() -> None:
    rule = StreamRule(url="/chat", transport="http", framing="json", path="$.reply", mode=WHOLE)
    reader = RuleReader(rule)
    reader.feed(Message(value={"reply": "Working on it"}))
    reader.feed(Message(value={"reply": "A walk by the river"}))
    assert reader.text == "A walk by the river"
