"""The server's renderer: what each construct becomes, and that no HTML of a reply passes through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.playground import reply_for
from drivers.playground.markdown import to_html


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("## A *b*", "<h2>A <em>b</em></h2>"),
        ("**a** ~~b~~ `c*` \\*d", "<p><strong>a</strong> <del>b</del> <code>c*</code> *d</p>"),
        ("a_b_c", "<p>a_b_c</p>"),
        ("---", "<hr>"),
        ("> a\n> b", "<blockquote><p>a\nb</p></blockquote>"),
        (
            "1. a\n   - b\n     - c\n2. d",
            "<ol><li>a\n<ul><li>b\n<ul><li>c</li></ul></li></ul></li><li>d</li></ol>",
        ),
        ("3. a", '<ol start="3"><li>a</li></ol>'),
        ("- [x] a", '<ul><li class="task"><input type="checkbox" disabled checked> a</li></ul>'),
        ("$$\na_b\n$$", '<div class="math">$$\na_b\n$$</div>'),
        ("[a](javascript:b)", '<p><a href="#" target="_blank" rel="noopener">a</a></p>'),
        ("![a](/b.svg)", '<p><img src="/b.svg" alt="a"></p>'),
    ],
)
def test_a_construct(source: str, html: str) -> None:
    assert to_html(source) == html


def test_a_table_keeps_its_alignment() -> None:
    html = to_html("| a | b |\n|:-:|--:|\n| 1 | 2 |")
    assert '<th style="text-align: center">a</th>' in html
    assert '<td style="text-align: right">2</td>' in html


def test_a_fence_keeps_its_language_and_its_blank_lines_even_while_it_is_open() -> None:
    html = to_html("```python\na\n\n  <b>\n")
    assert '<code class="language-python">a\n\n  &lt;b&gt;\n' in html


@given(st.text(alphabet="a<>&\"'*_`~[]()|-#\n\\$! 1."))
def test_no_element_comes_from_the_text(source: str) -> None:
    assert "<a>" not in to_html(source + "<a>")


@given(st.integers(0, 400))
def test_any_beginning_of_a_reply_can_be_shown(length: int) -> None:
    assert to_html(reply_for("math")[: length * 3]) or length == 0
