"""HTML to Markdown: each construct against the Markdown a person would write for it."""

from __future__ import annotations

import html as entities

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.text import html_to_markdown

CASES = {
    "heading": ("<h2>Title</h2><p>Text.</p>", "## Title\n\nText.\n"),
    "heading anchor": ('<h3>Part<a href="#part">¶</a></h3><p>Text.</p>', "### Part\n\nText.\n"),
    "inline": (
        "<p><strong>b</strong> <em>i</em> <del>s</del> <code>c</code> a_b 2 * 3</p>",
        "**b** *i* ~~s~~ `c` a_b 2 * 3\n",
    ),
    "link": (
        '<p>A <a href="https://e.org/a?b=1&amp;c=2">link</a>.</p>',
        "A [link](https://e.org/a?b=1&c=2).\n",
    ),
    "image": ('<p><img src="https://e.org/a.png" alt="A b"></p>', "![A b](https://e.org/a.png)\n"),
    "nested lists": (
        "<ol><li>One</li><li>Two<ul><li>a<ul><li>deep</li></ul></li></ul></li><li>Three</li></ol>",
        "1. One\n2. Two\n   - a\n     - deep\n3. Three\n",
    ),
    "task list": (
        '<ul><li><input type="checkbox" checked> done</li><li><input type="checkbox"> open</li></ul>',
        "- [x] done\n- [ ] open\n",
    ),
    "aligned table": (
        '<table><thead><tr><th align="left">N</th><th align="center">Q</th><th style="text-align: right">P</th></tr>'
        "</thead><tbody><tr><td>a</td><td><code>x</code></td><td>1</td></tr></tbody></table>",
        "| N | Q | P |\n| :-- | :-: | --: |\n| a | `x` | 1 |\n",
    ),
    "code": (
        '<pre><code class="hljs language-python">def f():\n\n    return "&lt;x&gt;"  # 2 * 3\n</code></pre>',
        '```python\ndef f():\n\n    return "<x>"  # 2 * 3\n```\n',
    ),
    "highlighted code": (
        '<pre><code class="language-js"><span class="k">const</span> <span>a</span> = 1;\n</code></pre>',
        "```js\nconst a = 1;\n```\n",
    ),
    "code with fences": ("<pre><code>```\nx\n```\n</code></pre>", "````\n```\nx\n```\n````\n"),
    "code between": ("<p>a</p><pre><code>x\n</code></pre><p>b</p>", "a\n\n```\nx\n```\n\nb\n"),
    "quote": (
        "<blockquote><p>One</p><pre><code>a\n\nb\n</code></pre></blockquote>",
        "> One\n>\n> ```\n> a\n>\n> b\n> ```\n",
    ),
    "rule": ("<p>a</p><hr><p>b</p>", "a\n\n---\n\nb\n"),
    "maths": (
        '<p>Let <math-inline tex="a_1 &lt; b*c*d"></math-inline> be.</p>'
        '<math-block tex="\\int_0^1\n x\\,dx"></math-block>',
        "Let $a_1 < b*c*d$ be.\n\n$$\n\\int_0^1\n x\\,dx\n$$\n",
    ),
    "icons and buttons": ("<p>a<svg><title>Copy</title></svg></p><button>Copy</button>", "a\n"),
    "nothing": ("<div><svg></svg></div>", ""),
}


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    html, markdown = CASES[name]
    assert html_to_markdown(html) == markdown


def test_code_in_a_list_keeps_its_place_and_its_blanks() -> None:
    made = html_to_markdown("<ul><li><p>Step</p><pre><code>if x:\n\n\ty = 1   \n</code></pre></li></ul>")
    assert "  ```\n  if x:\n\n  \ty = 1   \n  ```" in made


@given(
    st.text(
        st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), include_characters="\t\n `~*_<>&"),
        min_size=1,
    )
)
def test_code_is_never_changed(code: str) -> None:
    code = code.rstrip("\n") or "x"
    made = html_to_markdown(f"<p>a</p><pre><code>{entities.escape(code)}\n</code></pre>")
    fence, _, rest = made.removeprefix("a\n\n").partition("\n")
    assert rest.removesuffix("\n").removesuffix(fence).removesuffix("\n") == code


def test_a_page_that_draws_every_line_end_as_a_break_gets_its_line_ends_back() -> None:
    assert html_to_markdown("<p>One<br>\ntwo</p><p>three<br>four</p>") == "One\ntwo\n\nthree\nfour\n"


def test_a_break_stays_one_where_line_ends_are_not_drawn() -> None:
    assert html_to_markdown("<p>One<br>two</p><p>three\nfour</p>").startswith("One  \ntwo\n")
