"""Finding a browser, and what it is told."""

from __future__ import annotations

import re
from pathlib import Path

import playwright
import pytest

from drivers.browser import FEATURES_OFF, BrowserConfig, find_browser
from nerv.errors import NervError


def test_a_configured_browser_that_is_not_there_is_named() -> None:
    with pytest.raises(NervError, match="/nowhere/chrome"):
        find_browser("/nowhere/chrome")


def test_no_browser_at_all_says_what_was_looked_for_and_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    with pytest.raises(NervError, match=r"chromium.*apt install chromium"):
        find_browser(None)


def test_playwrights_own_browser_wins_over_the_systems(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "chromium-1200" / "chrome-linux" / "chrome"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    assert find_browser(None) == own


def test_the_marker_is_on_the_command_line() -> None:
    assert "--nerv-run=abc" in BrowserConfig(marker="abc").arguments()


def test_the_sandbox_is_left_alone_when_asked() -> None:
    assert "--no-sandbox" not in BrowserConfig(no_sandbox=False).arguments()
    assert "--no-sandbox" in BrowserConfig(no_sandbox=True).arguments()


def test_what_playwright_turns_off_stays_off() -> None:
    """Chromium takes the last switch of the kind, which is ours: after an update of Playwright, add what is new."""
    bundle = Path(playwright.__file__).parent / "driver/package/lib/coreBundle.js"
    block = re.search(r"disabledFeatures = \[(.*?)\]\.filter", bundle.read_text("utf-8"), re.DOTALL)
    assert block is not None
    theirs = set(re.findall(r'^\s*"(\w+)",?$', block[1], re.MULTILINE))
    assert len(theirs) > 10
    assert theirs <= set(FEATURES_OFF)


def test_features_turned_off_by_the_configuration_are_added() -> None:
    config = BrowserConfig(extra_args=("--disable-features=Mine,Other", "--lang=de"))
    switches = [each for each in config.arguments() if each.startswith("--disable-features=")]
    assert len(switches) == 1
    assert set(switches[0].partition("=")[2].split(",")) == {*FEATURES_OFF, "Mine", "Other"}
    assert "--lang=de" in config.arguments()
