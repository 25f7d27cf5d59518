"""Finding a browser, and what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.browser import BrowserConfig, find_browser
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
