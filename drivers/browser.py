"""Which browser to start, and with which switches."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import msgspec

from nerv.errors import ConfigurationError, invalid

_OFF = "--disable-features="
FEATURES_OFF = (
    # A page of the address bar's own for each context: a process of 43 MB, and a fifth of the time to open one.
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup"),
    # What Playwright turns off. Chromium takes the last such switch only, so ours must say these too.
    *("AimEnabled", "AvoidCorsURLLoaderRestartOnRedirect", "AvoidUnnecessaryBeforeUnloadCheckSync"),
    *("DestroyProfileOnBrowserClose", "HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades", "LensOverlay"),
    *("MediaRouter", "NetworkTimeServiceQuerying", "OptimizationHints", "PaintHolding", "PreconnectToSearch"),
    *(
        "TcpPortRandomizationWin",
        "ThirdPartyStoragePartitioning",
        "msEdgeUpdateLaunchServicesPreferredVersion",
    ),
    "msForceBrowserSignIn",
)
SYSTEM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_MAC_BROWSERS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


class BrowserConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How to start Chromium. ``no_sandbox`` None: only where we run as root, which Chromium's sandbox refuses."""

    executable: str | None = None
    headless: bool = True
    no_sandbox: bool | None = None
    marker: str = "unnamed"
    """Shown on the command line as ``--nerv-run=<marker>``, so that a sweep can find what an earlier run left."""
    extra_args: tuple[str, ...] = ()
    width: int = 1280
    height: int = 900
    launch_seconds: float = 30.0
    max_pages: int = 8
    """Pages open at once; beyond it idle warm pages are closed, and a lease without any to close is refused."""

    def arguments(self) -> list[str]:
        """Switches for the command line; features that ``extra_args`` turn off are so beside ours."""
        off = [
            name for each in self.extra_args if each.startswith(_OFF) for name in each[len(_OFF) :].split(",")
        ]
        no_sandbox = self.no_sandbox if self.no_sandbox is not None else os.geteuid() == 0
        return [
            f"--nerv-run={self.marker}",
            # A hidden or covered page must run at full speed: typewriters and timers of the page decide its end.
            "--disable-background-timer-throttling",
            "--disable-renderer-backgrounding",
            "--disable-backgrounding-occluded-windows",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--disable-quic",
            _OFF + ",".join((*FEATURES_OFF, *off)),
            *(("--no-sandbox",) if no_sandbox else ()),
            *(each for each in self.extra_args if not each.startswith(_OFF)),
        ]


def find_browser(configured: str | None) -> Path:
    """The configured one, Playwright's own, or the system's. Raises ConfigurationError: what was looked for."""
    if configured:
        found = shutil.which(configured)
        if found:
            return Path(found)
        raise ConfigurationError(
            invalid(
                f"the configured browser {configured!r} is not there or cannot be run",
                field="browser",
                fix="Give the path of a Chromium or Chrome, or leave it out to let NERV look for one.",
            )
        )
    own = _playwright_browser()
    if own is not None:
        return own
    for name in SYSTEM_NAMES:
        if found := shutil.which(name):
            return Path(found)
    if sys.platform == "darwin":
        for path in _MAC_BROWSERS:
            if Path(path).exists():
                return Path(path)
    raise ConfigurationError(
        invalid(
            "no browser found: looked for Playwright's own Chromium and, on PATH, " + ", ".join(SYSTEM_NAMES),
            field="browser",
            fix="Run `apt install chromium` or `playwright install chromium`.",
        )
    )


def _playwright_browser() -> Path | None:
    """Playwright's own Chromium, by its folder: asking Playwright itself would start its driver process."""
    configured = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    if sys.platform == "darwin":
        default = Path.home() / "Library/Caches/ms-playwright"
    else:
        default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ms-playwright"
    folder = Path(configured) if configured and configured != "0" else default
    patterns = (
        "chromium-*/chrome-linux*/chrome",
        "chromium-*/chrome-mac*/Chromium.app/Contents/MacOS/Chromium",
    )
    for pattern in patterns:
        for path in sorted(folder.glob(pattern), reverse=True):
            if os.access(path, os.X_OK):
                return path
    return None
