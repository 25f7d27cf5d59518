"""The model: what is accepted is counted once, what is refused changes nothing, watchers miss nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.playground.conversations import ConversationId, Library, Phase, Refused, Turn
from drivers.playground.prompt import Fault, digest

ONE, TWO, THREE = (ConversationId(name) for name in ("one", "two", "three"))


def send(library: Library, prompt: str, conversation: ConversationId = ONE) -> Turn:
    return library.send(prompt, conversation, fault=Fault.NONE, argument=None, half=0, ui="", via="sse")


def test_conversations_generate_side_by_side_but_each_answers_one_prompt_at_a_time() -> None:
    library = Library()
    first = send(library, "a", ONE)
    send(library, "a", TWO)
    assert library.stats().active_generations == 2
    with pytest.raises(Refused) as refused:
        send(library, "b", ONE)
    assert refused.value.code == 409
    assert library.stats().received == {digest("a"): 2}
    first.finish()
    send(library, "b", ONE)
    assert [turn.prompt for turn in library.find(ONE).turns] == ["a", "b"]


@pytest.mark.parametrize(("prompt", "code"), [("", 400), (" \n\t", 400), ("x" * 500_001, 413)])
def test_a_prompt_that_cannot_be_served_is_refused_and_not_counted(prompt: str, code: int) -> None:
    library = Library()
    with pytest.raises(Refused) as refused:
        send(library, prompt)
    assert refused.value.code == code
    assert library.stats().prompts_total == 0
    assert library.stats().conversations == 0


def test_a_stopped_reply_keeps_what_it_had_and_takes_no_more() -> None:
    turn = send(Library(), "a")
    turn.append("half")
    assert turn.stop()
    assert not turn.stop()
    with pytest.raises(ValueError, match="stopped"):
        turn.append("more")
    assert (turn.text, turn.phase) == ("half", Phase.STOPPED)


@given(st.lists(st.text()), st.data())
def test_a_watcher_that_resumes_from_its_offset_gets_the_rest_exactly(
    chunks: list[str], data: st.DataObject
) -> None:
    turn = send(Library(), "a")
    seen = ""
    for chunk in chunks:
        turn.append(chunk)
        if data.draw(st.booleans()):
            update = turn.since(0, len(seen))
            assert not update.replaces
            seen += update.text
    assert seen + turn.since(0, len(seen)).text == turn.text == "".join(chunks)


def test_a_watcher_of_an_older_revision_is_told_to_start_again() -> None:
    turn = send(Library(), "a")
    turn.append("draft")
    turn.replace("final")
    update = turn.since(0, 5)
    assert (update.replaces, update.text, update.revision) == (True, "final", 1)


def test_only_one_watcher_is_cut() -> None:
    turn = Library().send("cut", ONE, fault=Fault.CUT, argument=None, half=0, ui="", via="sse")
    assert [turn.take_cut(), turn.take_cut()] == [True, False]


def test_a_full_library_forgets_the_oldest_conversation_that_is_at_rest() -> None:
    library = Library(max_conversations=2)
    send(library, "a", ONE)
    send(library, "b", TWO).finish()
    send(library, "c", THREE)
    assert [conversation.id for conversation in library.newest_first()] == [THREE, ONE]
    with pytest.raises(Refused) as refused:
        send(library, "d", TWO)
    assert refused.value.code == 503
