"""Pages of a browser: what is kept warm for whom, and what the script in them takes for drawn."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from drivers.playground import Pace
from drivers.recipes import Recipe
from drivers.recipes.recipe import Locator, Locators
from drivers.session import BrowserSession
from tests.pages import TrapServer, trap_server

pytestmark = pytest.mark.browser

BOX = (Locator(path=("textarea",), score=1.0),)


@pytest.fixture
async def server() -> AsyncIterator[TrapServer]:
    async with trap_server(Pace(chunks=4, seconds=0.1)) as running:
        yield running


def recipe_for(address: str) -> Recipe:
    return Recipe(name="one", address=address, locators=Locators(input=BOX))


async def test_a_page_kept_warm_for_another_recipe_is_not_ready(
    session: BrowserSession, server: TrapServer
) -> None:
    """A provider that was learned anew at another address keeps its name."""
    old = recipe_for(server.url("greeting"))
    new = msgspec.structs.replace(old, address=server.url("whole_reply"))
    await session.release(await session.lease("one", "default", old), reuse=True)
    same = await session.lease("one", "default", old)
    assert same.prepared
    await session.release(same, reuse=True)
    other = await session.lease("one", "default", new)
    assert other.page is same.page, "the page is kept, …"
    assert not other.prepared, "… and must be taken to the new address first"
    await session.release(other, reuse=False)


OUTSIDE = """() => {
  const log = document.getElementById("log");
  log.insertAdjacentHTML("beforeend", `
    <div class="q">the prompt of it all</div>
    <div class="turn"><details><summary>Thought for a second</summary><p>What nobody sees of the thoughts</p></details>
      <div class="md"><p>This is the reply.</p></div></div>
    <nav><p>A list of conversations</p></nav>`);
}"""


async def test_parts_are_what_is_drawn_behind_the_prompt(session: BrowserSession, server: TrapServer) -> None:
    lease = await session.lease("one", "default", None)
    page = lease.page
    await page.go(server.url("whole_reply"))
    frame = page.page.main_frame
    options = {
        "id": 1,
        "prompt": "the prompt of it all",
        "input": BOX,
        "reply": (),
        "stop": (),
        "history": False,
    }
    await page.call(frame, "begin", options, into=dict[str, int])
    await frame.evaluate(OUTSIDE)
    await page.call(frame, "look", into=bool)
    parts = await page.call(frame, "parts", into=tuple[str, ...])
    assert "This is the reply." in parts
    assert "Thought for a second" in parts
    for part in parts:
        assert "nobody sees" not in part
        assert "conversations" not in part
        assert "the prompt of it all" not in part
    assert await page.call(frame, "adopt", parts.index("This is the reply."), into=bool)
    element = await page.element(frame, "replyElement")
    assert element is not None
    assert (await element.inner_text()).strip() == "This is the reply."
    await session.release(lease, reuse=False)
