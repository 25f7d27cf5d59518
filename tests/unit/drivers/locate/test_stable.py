"""Locators rest on names that people gave, not on names that a build made."""

from __future__ import annotations

import pytest

from drivers.locate import Step, locators_for, reply_locators_for
from drivers.locate.stable import Level, generated, quoted


@pytest.mark.parametrize(
    "value",
    ["radix-:r1:", ":r3:", "css-1x2y3z", "c6", "sc-a1b2c3", "input-1699999", "svelte-1kq2z9", "e1yqkw3v2"],
)
def test_generated_names_are_known(value: str) -> None:
    assert generated(value)


@pytest.mark.parametrize("value", ["chat-input", "prompt-textarea", "message", "stChatInput", "send-button"])
def test_given_names_are_kept(value: str) -> None:
    assert not generated(value)


def test_a_test_id_comes_first_and_the_tag_is_the_last_resort() -> None:
    step = Step(
        tag="textarea",
        attributes={"data-testid": "composer", "placeholder": "Ask", "class": "css-9x8y7z p-2"},
    )
    found = [locator.path[0] for locator in locators_for([step])]
    assert found[0] == '[data-testid="composer"]'
    assert 'textarea[placeholder="Ask"]' in found
    assert not any("css-" in path or "p-2" in path for path in found)


def test_shadow_hosts_lead_the_path() -> None:
    steps = [Step(tag="deep-chat"), Step(tag="div", attributes={"id": "text-input"})]
    assert locators_for(steps)[0].path == ("deep-chat", 'div[id="text-input"]')


def test_an_ancestor_with_a_name_narrows_a_nameless_element() -> None:
    step = Step(tag="button", above=(Level(tag="form", attributes={"id": "composer"}),), nth=2, of=2)
    assert any(locator.path[0].startswith('form[id="composer"] ') for locator in locators_for([step]))


def test_a_kind_of_reply_has_no_id_and_no_state() -> None:
    step = Step(
        tag="div", attributes={"id": "msg-17", "data-role": "assistant", "class": "message bot is-last"}
    )
    found = [locator.path[0] for locator in reply_locators_for([step])]
    assert found[0] == 'div[data-role="assistant"]'
    assert "div.message.bot" in found
    assert not any("msg-17" in path or "last" in path for path in found)


def test_a_quote_in_a_name_cannot_end_the_selector() -> None:
    assert quoted('say "hi"\\') == '"say \\"hi\\"\\\\"'
