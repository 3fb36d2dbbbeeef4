"""Debian's Chromium as a real browser for tests, and axe-core to judge what it shows.

Neither is needed to run Hotfit; `scripts/test.sh` installs both where it can.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

AXE = Path(sys.prefix) / "npm" / "node_modules" / "axe-core" / "axe.min.js"
_ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
_SERIOUS = ("serious", "critical")


def find_chromium() -> str | None:
    """Where the browser is; None when it is not installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


def why_not() -> str | None:
    """Why no browser can be started here; None when one can."""
    try:
        import playwright.sync_api
    except ImportError:
        return "playwright is not installed (requirements-dev.txt)"
    del playwright
    return None if find_chromium() else "Chromium is not installed (Debian: chromium)"


@contextmanager
def running_browser() -> Iterator[Browser]:
    """One browser process with an empty profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=[*_ARGUMENTS, f"--crash-dumps-dir={profile}"]
        )
        try:
            yield browser
        finally:
            browser.close()


def axe_findings(page: Page) -> list[str]:
    """Serious and critical findings of axe-core on the page as it is now."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = page.evaluate(
        "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"
    )
    return [
        f"{one['impact']} {one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in _SERIOUS
    ]
