"""Scores prefer the chat's own box and button to everything that looks like one."""

from __future__ import annotations

import itertools

from drivers.locate import Candidate, PageSnapshot, input_score, rank_inputs, rank_sends

_picks = itertools.count()


def box(tag: str = "textarea", **changes: object) -> Candidate:
    base: dict[str, object] = {"x": 200.0, "y": 700.0, "width": 700.0, "height": 60.0, "multiline": True}
    return Candidate(pick=next(_picks), kind="input", tag=tag, **{**base, **changes})  # type: ignore[arg-type]


def button(**changes: object) -> Candidate:
    base: dict[str, object] = {"x": 860.0, "y": 710.0, "width": 36.0, "height": 36.0, "tag": "button"}
    return Candidate(pick=next(_picks), kind="control", **{**base, **changes})  # type: ignore[arg-type]


def page(*items: Candidate) -> PageSnapshot:
    return PageSnapshot(
        inputs=tuple(it for it in items if it.kind == "input"),
        controls=tuple(it for it in items if it.kind == "control"),
        width=1280.0,
        height=900.0,
    )


def best(*items: Candidate) -> Candidate:
    return rank_inputs(page(*items))[0][1]


def test_the_message_box_wins_over_a_search_box() -> None:
    chat = box(placeholder="Type a message")
    search = box("input", type="search", placeholder="Search chats", y=20.0, height=30.0, banner=True)
    assert best(search, chat) is chat


def test_a_nameless_textarea_wins_over_login_fields() -> None:
    chat = box()
    mail = box("input", type="email", label="E-mail", form_password=True)
    assert best(mail, chat) is chat


def test_an_editor_without_a_role_is_a_candidate() -> None:
    editor = box("div", editable=True)
    assert input_score(editor, page(editor)) > 0.5


def test_what_is_hidden_or_secret_is_none() -> None:
    assert not rank_inputs(page(box(visible=False), box("input", type="password")))


def test_send_is_found_without_a_word_on_it() -> None:
    chat = box()
    send = button(tag="div", icon="svg:abc")
    attach = button(label="Attach file", x=210.0)
    voice = button(label="Use microphone", x=820.0)
    assert rank_sends(page(chat, send, attach, voice), chat)[0][1] is send


def test_a_control_that_typing_woke_is_preferred() -> None:
    chat = box()
    other = button(icon="svg:1", x=820.0)
    before = page(chat, other, button(icon="svg:2", disabled=True))
    send = button(icon="svg:2")
    assert rank_sends(page(chat, other, send), chat, before)[0][1] is send


def test_ligature_icons_are_read() -> None:
    chat = box()
    send = button(text="send")
    mic = button(text="mic", x=820.0)
    assert rank_sends(page(chat, mic, send), chat)[0][1] is send


def test_a_dangerous_neighbour_is_no_send_control() -> None:
    chat = box()
    assert not [c for _, c in rank_sends(page(chat, button(label="Delete chat")), chat) if c.label]
