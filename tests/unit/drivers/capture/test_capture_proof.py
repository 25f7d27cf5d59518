"""What a page may add to a reply, and what it may not lack."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.capture import compare

REPLY = (
    "## Report\n\nThe **quick** brown fox jumps over the `lazy` dog, and then it rests.\n\n"
    "```py\nx = 1\ny = 2\n```\n\nEnd.\n"
)
SHOWN = "Report\nThe quick brown fox jumps over the lazy dog, and then it rests.\nx = 1\ny = 2\nEnd."
CODE = (
    "Code:\n\n```python\n"
    + "".join(f'v{n} = "{n * 7919 % 10007}"\n' for n in range(300))
    + "```\n\nEnd of the code here.\n"
)


def test_the_same_words_are_exact() -> None:
    assert compare(REPLY, SHOWN).exact


@pytest.mark.parametrize(
    "shown",
    [
        SHOWN.replace("x = 1", "python\nCopy code\nx = 1"),
        SHOWN.replace("x = 1\ny = 2", "1\nx = 1\n2\ny = 2"),
        "Assistant\n12:03\n" + SHOWN,
        SHOWN + "\nCopy\nRegenerate\n12:03 PM",
        SHOWN + "\n" + SHOWN,
        "Bot said:\n" + SHOWN + "\n" + SHOWN,
        SHOWN.upper(),
    ],
    ids=["code label", "line numbers", "name", "buttons", "doubled", "doubled with name", "upper case"],
)
def test_what_a_page_adds_does_not_hide_the_reply(shown: str) -> None:
    assert compare(REPLY, shown).ok


@pytest.mark.parametrize(
    "shown",
    [
        SHOWN + " Or so it seems.",
        SHOWN.replace("The quick", "Well then, the quick"),
        SHOWN.replace("lazy", "sleepy"),
        SHOWN.replace("brown ", ""),
        SHOWN.removeprefix("Report\n"),
        "Summary of it all\nand more of this kind\n" + SHOWN.removeprefix("Report\n"),
        "Something else",
        "",
    ],
    ids=[
        "goes on",
        "begins earlier",
        "other word",
        "word missing",
        "head missing",
        "other head",
        "else",
        "empty",
    ],
)
def test_a_page_that_says_other_words_refuses_the_candidate(shown: str) -> None:
    assert not compare(REPLY, shown).ok


def test_a_candidate_that_lacks_its_first_words_is_refused() -> None:
    assert not compare(REPLY.replace("## Report\n\nThe **quick** ", ""), SHOWN).ok


def test_long_code_of_which_the_page_draws_a_part_is_proved() -> None:
    lines = CODE.splitlines()
    shown = "\n".join(["Code:", *lines[3:45], "End of the code here."])
    verdict = compare(CODE, shown)
    assert verdict.ok
    assert verdict.hidden_code > 400
    assert not compare(CODE, shown.replace("End of the code here.", "")).ok


def test_formulas_may_be_drawn_in_any_way() -> None:
    reply = "Inline $E = mc^2$ and display:\n\n$$\n\\int_0^3 x^2\\,dx = \\frac{9}{3}\n$$\n\nDone with the maths.\n"
    drawn = (
        "Inline E=mc2E = mc^2E=mc2 and display:\n∫03x2dx=93"
        "\\int_0^3 x^2\\,dx = \\frac{9}{3}∫03​x2dx=39​\nDone with the maths."
    )
    assert compare(reply, drawn).ok
    assert compare(
        reply, "Inline $E = mc^2$ and display:\n$$ \\int_0^3 x^2,dx = \\frac{9}{3} $$\nDone with the maths."
    ).ok
    assert not compare(reply, drawn + " And more of it.").ok
    assert not compare("Inline $E = mc^2$", "Inline E=mc2 and display with many other words than these").ok


@pytest.mark.parametrize(
    ("reply", "shown", "same"),
    [
        ("OK", "OK", True),
        ("OK", "Bot\nOK\nCopy", True),
        ("**Yes.**", "Yes.", True),
        ("ok", "OK", False),
        ("Yes", "Yes and no", False),
        ("👍", "👍", True),
        ("👍", "👎", False),
        ("42", "42", True),
    ],
)
def test_short_replies_are_compared_by_characters(reply: str, shown: str, same: bool) -> None:
    assert compare(reply, shown).ok is same


def test_markup_within_a_word_does_not_matter_but_lost_blanks_do() -> None:
    assert compare("It is un**believ**able, is it not?", "It is unbelievable, is it not?").ok
    glued = "theant walks overthe hill and thebee flies onand on"
    assert not compare(glued, "the ant walks over the hill and the bee flies on and on").ok


def test_paragraphs_joined_without_a_break_are_refused() -> None:
    paragraphs = [f"Paragraph number {n} ends here." for n in range(6)]
    assert compare("\n\n".join(paragraphs), "\n".join(paragraphs)).exact
    assert not compare("".join(paragraphs), "\n".join(paragraphs)).ok


def test_a_page_that_still_grows_fits_the_beginning() -> None:
    words = [f"word{n}" for n in range(80)]
    whole = " ".join(words)
    for come in (3, 10, 40, 80):
        assert compare(whole, " ".join(words[:come]), partial=True).ok
    assert not compare(whole, " ".join(words[20:60]), partial=True).ok
    assert not compare(" ".join(words[:30]), whole, partial=True).ok


@given(
    st.lists(
        st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]),
        min_size=6,
        max_size=80,
    ),
    st.data(),
)
def test_a_text_proves_itself_and_no_text_with_a_word_more_or_less(
    words: list[str], data: st.DataObject
) -> None:
    text = " ".join(words)
    assert compare(text, text).exact
    at = data.draw(st.integers(0, len(words)))
    more = " ".join([*words[:at], "omega", *words[at:]])
    assert not compare(text, more).ok
    assert not compare(more, text).ok


FOOT = "Showing 1 to 3 of 3 entries, page 1 of 1"


def test_where_replies_are_known_to_be_more_lines_of_the_pages_own_are_let_pass_between() -> None:
    reply = "Beginning of it.\n\n" + REPLY.replace(
        "End.", " ".join(f"word{n}" for n in range(60)) + ".\n\nEnd."
    )
    shown = "Beginning of it.\n" + SHOWN.replace("End.", " ".join(f"word{n}" for n in range(60)) + ".\nEnd.")
    with_foot = shown.replace("The quick", f"{FOOT}\nThe quick")
    assert not compare(reply, with_foot).ok
    assert compare(reply, with_foot, known=True).ok
    assert not compare(reply, f"{shown}\n{FOOT}", known=True).ok, "behind the reply it may be the reply's own"
    assert not compare(reply, with_foot.replace("fox ", ""), known=True).ok, "nor may a word be missing"
    assert not compare(reply, with_foot.replace("fox", "fox and the other one"), known=True).ok
