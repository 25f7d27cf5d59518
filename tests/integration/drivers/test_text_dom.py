"""What only a real browser knows: shadow roots, computed style, properties, the clipboard."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import ElementHandle, Page

from drivers.text import final_text, reply_dom, reply_words
from kernel.tasks import ReplySource
from tests.integration.drivers.chromium import chromium

pytestmark = pytest.mark.browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page() -> AsyncIterator[Page]:
    async with chromium() as browser:
        page = await browser.new_page()
        await page.route(
            "http://localhost/**", lambda route: route.fulfill(body="<p>", content_type="text/html")
        )
        await page.goto("http://localhost/")  # a secure context: elsewhere there is no clipboard
        yield page


async def reply_of(page: Page, html: str, script: str = "") -> ElementHandle:
    await page.set_content(f"<meta charset=utf-8><div id=row><div id=reply>{html}</div></div>")
    if script:
        await page.evaluate(script)
    element = await page.query_selector("#reply")
    assert element is not None
    return element


CASES = {
    "bold and italic by style only": (
        '<p>A <span style="font-weight:700">bold</span> and <span style="font-style:italic">slanted</span> word,'
        ' <span style="text-decoration:line-through">gone</span>.</p>',
        "",
        "A **bold** and *slanted* word, ~~gone~~.\n",
    ),
    "code box with label, buttons and line numbers": (
        '<p>See:</p><div class="box"><div><span>Python</span><button>Copy</button></div><pre><code>'
        '<span class="line"><span class="linenumber">1</span>x = 1</span>\n'
        '<span class="line"><span class="linenumber">2</span>    y = 2</span></code></pre></div><p>End.</p>',
        "",
        "See:\n\n```python\nx = 1\n    y = 2\n```\n\nEnd.\n",
    ),
    "an editor's lines": (
        '<div class="cm-editor"><div class="cm-gutters">1 2</div><div class="cm-content" data-language="js">'
        '<div class="cm-line">let a;</div><div class="cm-line"><br></div><div class="cm-line">  b();</div></div></div>',
        "",
        "```js\nlet a;\n\n  b();\n```\n",
    ),
    "formulas": (
        '<p>Let <span class="katex"><span class="katex-mathml"><math><semantics><mrow><mi>a</mi></mrow>'
        '<annotation encoding="application/x-tex">a^2 &lt; b</annotation></semantics></math></span>'
        '<span class="katex-html" aria-hidden="true">a2</span></span> be.</p>',
        "",
        "Let $a^2 < b$ be.\n",
    ),
    "checkboxes by property": (
        "<ul><li><input type=checkbox> done</li><li><input type=checkbox> open</li></ul>",
        "() => { document.querySelector('input').checked = true; }",
        "- [x] done\n- [ ] open\n",
    ),
    "a table of custom elements": (
        '<x-t role=table><x-r role=row><x-c role=columnheader>A</x-c><x-c role=columnheader style="display:block;'
        'text-align:right">B</x-c></x-r><x-r role=row><x-c role=cell>1</x-c><x-c role=cell>2</x-c></x-r></x-t>',
        "",
        "| A | B |\n| --- | --: |\n| 1 | 2 |\n",
    ),
    "shadow roots and slots": (
        "<x-message>light <b>words</b></x-message>",
        """() => { const root = document.querySelector('x-message').attachShadow({mode: 'open'});
        root.innerHTML = '<style>p {color: red}</style><p>Shadow and <slot></slot>.</p><button>Copy</button>'; }""",
        "Shadow and light **words**.\n",
    ),
    "a copy for screen readers, icons and hidden parts": (
        '<div style="position:absolute;width:1px;height:1px;overflow:hidden">Bot said: Words.</div><p>Words.</p>'
        '<i class="material-icons">content_copy</i><svg><text>x</text></svg><div hidden>no</div>'
        '<div style="display:none">no</div>',
        "",
        "Words.\n",
    ),
    "Markdown shown as it came": (
        '<div style="white-space:pre-wrap"># Title\n\n- a \\* b\n    - c\n</div>',
        "",
        "# Title\n\n- a \\* b\n    - c\n",
    ),
    "blocks in a box that keeps blanks": (
        '<div style="white-space:pre-wrap"><p>One\ntwo</p>\n\n<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n</div>',
        "",
        "One\ntwo\n\n- a\n- b\n",
    ),
    "a list that starts later, a rule drawn by a box": (
        '<ol start="4"><li>Four</li><li>Five</li></ol><div style="height:1px;width:300px;background:#000"></div>'
        "<p>End</p>",
        "",
        "4. Four\n5. Five\n\n---\n\nEnd\n",
    ),
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", CASES)
async def test_the_dom_as_markdown(page: Page, name: str) -> None:
    html, script, markdown = CASES[name]
    dom = await reply_dom(await reply_of(page, html, script))
    assert dom.markdown() == markdown


@pytest.mark.asyncio(loop_scope="module")
async def test_words_stand_on_lines_of_their_own_and_without_controls(page: Page) -> None:
    element = await reply_of(
        page, "<h2>Title</h2><p>One <b>two</b></p><ul><li>a</li><li>b</li></ul><button>Copy</button>"
    )
    assert (await reply_words(element)).split("\n") == ["Title", "One two", "a", "b", ""]


WAYS_TO_COPY = {
    "writeText": "navigator.clipboard.writeText(SOURCE)",
    "write": "navigator.clipboard.write([new ClipboardItem({'text/plain': new Blob([SOURCE], {type: 'text/plain'})})])",
    "execCommand": "(() => { const t = document.createElement('textarea'); t.value = SOURCE; document.body.append(t);"
    " t.select(); document.execCommand('copy'); t.remove(); })()",
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("way", WAYS_TO_COPY)
async def test_the_copy_control_of_the_message_is_used_and_not_that_of_its_code(page: Page, way: str) -> None:
    element = await reply_of(
        page,
        "<p>The <b>ant</b> walks on.</p><pre><button title='Copy code'>c</button><code>x = 1</code></pre>",
    )
    await page.evaluate(
        """(js) => {
          globalThis.SOURCE = 'The __ant__ walks on.\\n\\n    x = 1\\n';
          globalThis.pressed = [];
          const button = document.createElement('button');
          button.setAttribute('aria-label', 'Copy message');
          button.onclick = () => { pressed.push('message'); eval(js); };
          document.querySelector('#row').append(button);
          document.querySelector('pre button').onclick = () => pressed.push('code');
          const clipboard = navigator.clipboard ?? {};
          globalThis.before = clipboard.writeText;
        }""",
        WAYS_TO_COPY[way],
    )
    found = await final_text(page, element, None, prompt="What does the ant do?", timeout_s=15)
    assert (found.source, found.text) == (ReplySource.COPY, "The __ant__ walks on.\n\n    x = 1\n")
    assert await page.evaluate("() => pressed") == ["message"]
    assert await page.evaluate(
        "() => !Object.hasOwn(navigator.clipboard ?? {}, 'writeText') || !navigator.clipboard.texts"
    )


@pytest.mark.asyncio(loop_scope="module")
async def test_a_copy_control_that_copies_something_else_is_not_believed(page: Page) -> None:
    element = await reply_of(page, "<p>The <b>ant</b> walks on.</p>")
    await page.evaluate(
        """() => {
          const button = document.createElement('button');
          button.title = 'Copy';
          button.onclick = () => navigator.clipboard?.writeText('https://example.org/share/1');
          document.querySelector('#row').append(button);
        }"""
    )
    found = await final_text(page, element, None, prompt="?", timeout_s=15)
    assert (found.source, found.exact, found.text) == (ReplySource.DOM, False, "The **ant** walks on.\n")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_copy_control_that_can_not_be_pressed_costs_no_text(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.text.copying._ALL_SECONDS", 0.5)
    reply = await reply_of(
        page,
        "<p>Ants walk on.</p>",
        """() => { const button = document.createElement('button'); button.title = 'Copy';
          document.querySelector('#row').append(button);
          button.animate([{translate: '0px'}, {translate: '500px'}], {duration: 900, iterations: Infinity}); }""",
    )
    found = await final_text(page, reply, None, prompt="walk", timeout_s=2)
    assert (found.source, found.text) == (ReplySource.DOM, "Ants walk on.\n")
