"""Recipes survive the way to the file and back; a wrong file is named with its line or key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from drivers.capture.rule import StreamRule
from drivers.recipes import Catalog, Completion, FrameRule, Locator, Locators, Origin, Recipe
from nerv.errors import ErrorCode, NervError

RECIPE = Recipe(
    name="mine",
    address="http://127.0.0.1:1/",
    origin=Origin.DISCOVERED,
    locators=Locators(input=(Locator(path=("x-chat", 'div[id="in"]'), score=0.9),)),
    frame=FrameRule(address="http://127.0.0.1:2/widget"),
    stream=StreamRule(url="/api", transport="http", framing="sse", path="$.text", mode="append"),
    completion=Completion(busy=("button|Stop||on",), learned=True),
)


def test_a_saved_recipe_comes_back_the_same(tmp_path: Path) -> None:
    catalog = Catalog(user=tmp_path / "new")
    path = catalog.save(RECIPE)
    assert path == tmp_path / "new" / "mine.toml"
    assert catalog.get("mine") == RECIPE
    assert [file.name for file in path.parent.iterdir()] == ["mine.toml"]


def test_the_users_recipe_wins_and_its_removal_uncovers_the_shipped_one(tmp_path: Path) -> None:
    catalog = Catalog(user=tmp_path)
    catalog.save(msgspec.structs.replace(RECIPE, name="chatgpt"))
    assert catalog.get("chatgpt").address == RECIPE.address
    catalog.remove("chatgpt")
    assert catalog.get("chatgpt").origin is Origin.SHIPPED
    with pytest.raises(NervError, match="comes with NERV"):
        catalog.remove("chatgpt")


def test_every_shipped_recipe_is_valid_and_says_that_it_was_not_tried() -> None:
    catalog = Catalog()
    assert {"chatgpt", "claude", "gemini", "zai"} <= set(catalog.names())
    for name in catalog.names():
        assert not catalog.get(name).tried_live


def test_the_recipe_of_the_documentation_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[4] / "docs" / "providers.md").read_text("utf-8")
    (tmp_path / "yours.toml").write_text(text.partition("```toml\n")[2].partition("```")[0])
    recipe = Catalog(user=tmp_path).get("yours")
    assert recipe.stream is not None
    assert recipe.completion.stream_ends


@pytest.mark.parametrize("name", ["nobody", "../mine", "", "A B"])
def test_an_unknown_provider_is_named_with_the_known_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(NervError, match="known are") as caught:
        Catalog(user=tmp_path).get(name)
    assert caught.value.code is ErrorCode.UNKNOWN_PROVIDER


def test_broken_toml_is_told_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('name = "bad"\naddress = \n')
    with pytest.raises(NervError, match=r"bad\.toml.*line 2"):
        Catalog(user=tmp_path).get("bad")


def test_a_wrong_key_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('address = "http://x"\n[locators]\ninput = [{ path = 3 }]\n')
    with pytest.raises(NervError, match="path") as caught:
        Catalog(user=tmp_path).get("bad")
    assert caught.value.info.field is not None
    assert "locators.input" in caught.value.info.field


def test_a_name_that_cannot_be_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NervError, match="cannot name a provider"):
        Catalog(user=tmp_path).save(msgspec.structs.replace(RECIPE, name="a/b"))


def test_reading_recipes_needs_no_browser() -> None:
    code = "import sys, drivers.recipes; sys.exit('playwright' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_which_providers_show_one_conversation_is_read_again_only_when_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(user=tmp_path)
    assert catalog.one_thread() == frozenset()
    catalog.save(RECIPE)
    catalog.save(msgspec.structs.replace(RECIPE, name="thread", one_thread=True))
    (tmp_path / "bad.toml").write_text("one_thread = \n")
    assert catalog.one_thread() == {"thread"}
    with monkeypatch.context() as patched:
        patched.setattr("drivers.recipes.catalog.read_recipe", None)
        assert catalog.one_thread() == {"thread"}, "nothing was read"
    catalog.save(msgspec.structs.replace(RECIPE, one_thread=True))
    assert catalog.one_thread() == {"mine", "thread"}
    catalog.remove("mine")
    assert catalog.one_thread() == {"thread"}
