"""What the wire's doings say of the end of a reply."""

from __future__ import annotations

import pytest

from drivers.capture import StreamActivity, StreamRule, WireActivity
from drivers.skills.answers import POLL_SECONDS, Answers

ASK, STREAM, OTHER = "http://h/api/ask", "http://h/api/stream/1", "http://h/beacon"
RULE = StreamRule(url="/api/stream/*", transport="http", framing="sse", path="$.d", mode="append")
SOCKET = StreamRule(url="/ws", transport="websocket", framing="json", path="$.d", mode="append")


def response(
    url: str, *, ended: bool = True, failure: str | None = None, streaming: bool = True
) -> StreamActivity:
    return StreamActivity(
        url=url,
        transport="http",
        streaming=streaming,
        received=9,
        last_byte_at=1.0,
        ended=ended,
        failure=failure,
    )


def answers(*streams: StreamActivity, rule: StreamRule | None = RULE, **wire: object) -> Answers:
    return Answers(WireActivity(streams=streams, **wire), {ASK}, rule)  # type: ignore[arg-type]


def test_a_request_is_open_while_it_waits_and_while_its_answer_comes() -> None:
    assert answers(waiting=(ASK,)).request_open()
    assert answers(response(ASK, ended=False)).request_open()
    assert not answers(response(ASK), response(STREAM, ended=False), waiting=(OTHER,)).request_open()


def test_what_breaks_off_beside_the_reply_is_not_the_reply() -> None:
    reset = "net::ERR_CONNECTION_RESET"
    assert answers(reply_url=STREAM, failed=((STREAM, reset),)).broke_off()
    assert answers(reply_url=STREAM, failed=((ASK, reset),)).broke_off()
    assert not answers(reply_url=STREAM, failed=((OTHER, reset),)).broke_off()
    assert answers(failed=((OTHER, reset),)).broke_off(), (
        "where the reply is is not known: it may be this one"
    )
    assert not answers(failed=((OTHER, "net::ERR_ABORTED"),)).broke_off(), "the page gave it up"


def test_a_poll_that_ends_is_no_end_until_none_comes_any_more() -> None:
    polled = answers(response(STREAM, streaming=False), reply_ended=True, reply_url=STREAM, reply_urls=4)
    assert not polled.ended(1.0 + POLL_SECONDS / 2)
    assert polled.ended(1.0 + POLL_SECONDS)


@pytest.mark.parametrize(
    "one",
    [
        answers(response(STREAM), reply_ended=True, reply_url=STREAM, reply_urls=1),
        answers(response(ASK, streaming=False), reply_ended=True, reply_url=ASK, reply_urls=1),
        answers(rule=SOCKET, reply_ended=True),
    ],
    ids=["in pieces", "of the prompt's own request", "socket"],
)
def test_a_stream_that_ends_is_the_end_at_once(one: Answers) -> None:
    assert one.ended(1.0)


def test_a_socket_hangs_up_where_it_did_not_say_the_end_before() -> None:
    assert answers(rule=SOCKET, reply_ended=True).hung_up()
    assert not answers(rule=SOCKET, reply_ended=True, said_end=True).hung_up()
    assert not answers(rule=RULE, reply_ended=True).hung_up()


def test_an_answer_that_grew_with_the_text_and_ended() -> None:
    assert answers(response(ASK)).request_answered(began=0.5)
    assert not answers(response(ASK)).request_answered(began=2.0), "it was over before the text began"
    assert not answers(response(ASK, streaming=False)).request_answered(began=0.5)
    assert not answers(response(ASK, failure="reset")).request_answered(began=0.5)


def test_responses_of_the_kind_of_replies() -> None:
    both = answers(response(STREAM), response("http://h/api/stream/2", ended=False))
    assert (both.response_over(), both.streams_over()) == (True, False)
    assert answers(response(STREAM)).streams_over()
    assert not answers(response(STREAM), rule=None).streams_over()

    closed = StreamActivity(
        url="ws://h/ws", transport="websocket", streaming=True, received=9, last_byte_at=1.0, ended=True
    )
    one_each = answers(closed, rule=SOCKET)
    assert (one_each.response_over(), one_each.streams_over()) == (False, True)


def test_a_reply_is_in_the_answer_where_nothing_else_is_of_its_kind() -> None:
    own = StreamRule(url="/api/ask", transport="http", framing="json", path="$.d", mode="whole")
    assert answers(response(ASK), response(OTHER), rule=own).in_answer()
    assert not answers(response(ASK), response(f"{ASK}?since=4"), rule=own).in_answer(), "it is polled there"
    assert not answers(response(ASK)).in_answer()
    assert answers(response(ASK)).answered()
    assert not answers(response(ASK, ended=False)).answered()
