"""Pictures of the console for the docs, and what its pages weigh, in one command.

`python -m tests.api_service.console.screenshots [DIRECTORY]` runs both daemons on
made-up data (kept in DIRECTORY, where one is named), looks at the pages in a real browser,
writes docs/console/*.png and prints the figures of docs/console.md.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.api_service.console.demo import ConsoleDemo
from tests.support.browser import running_browser, why_not
from tests.support.daemons import ROOT, Daemon
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

_ROUNDS = 5
FOLDER = ROOT / "docs" / "console"

MEASURE = """() => {
  const one = performance.getEntriesByType("navigation")[0];
  const all = [one, ...performance.getEntriesByType("resource")];
  return {
    requests: all.length,
    bytes: all.reduce((sum, each) => sum + each.transferSize, 0),
    html: one.decodedBodySize,
    server_ms: one.responseStart - one.requestStart,
    usable_ms: one.domContentLoadedEventEnd,
  };
}"""


class Shot(NamedTuple):
    """height : how much of the page."""

    name: str
    path: str
    scheme: str = "light"
    width: int = 1280
    height: int = 900
    signs_in: bool = False


def shots(demo: ConsoleDemo) -> list[Shot]:
    return [
        Shot("overview", "/", height=940),
        Shot("model", "/console/models/spare_parts", height=1580, signs_in=True),
        Shot("solar-dark", "/console/models/solar_power/roof-01", "dark", height=900),
        Shot("fleet", "/console/models/server_metrics", height=960),
        Shot("traffic", "/console/models/spare_parts#traffic", height=820),
        Shot("compare", _compare(demo, "spare_parts"), height=1000),
        Shot("compare-lists", _compare(demo, "product_recommender"), height=940),
        Shot("phone-dark", "/console/models/spare_parts", "dark", 390, 1300),
    ]


def _compare(demo: ConsoleDemo, model: str) -> str:
    """The newest two versions side by side."""
    versions = sorted(path.name for path in (demo.home / "models" / model / "versions").glob("v*"))
    return f"/console/compare?model={model}&a={versions[-2]}&b={versions[-1]}"


def look(browser: Browser, demo: ConsoleDemo, shot: Shot) -> dict[str, Any]:
    """Take one picture; what the page weighed."""
    context = browser.new_context(
        base_url=demo.url,
        color_scheme="dark" if shot.scheme == "dark" else "light",
        viewport={"width": shot.width, "height": shot.height},
    )
    try:
        page = context.new_page()
        if shot.signs_in:
            sign_in(page, demo.admin_key)
        page.goto(shot.path)
        page.wait_for_load_state("networkidle")
        found: dict[str, Any] = page.evaluate(MEASURE)
        for _ in range(_ROUNDS):  # of a page that the browser has never seen: all is loaded
            with _fresh(browser, demo, context) as fresh:
                fresh.goto(shot.path)
                again = fresh.evaluate(MEASURE)
            found |= {name: min(found[name], again[name]) for name in ("server_ms", "usable_ms")}
        path = FOLDER / f"{shot.name}.png"
        page.screenshot(path=path)
        _shrink(path)
        return found
    finally:
        context.close()


@contextlib.contextmanager
def _fresh(browser: Browser, demo: ConsoleDemo, signed_in: BrowserContext) -> Iterator[Page]:
    """A page with an empty cache and the cookies of another."""
    context = browser.new_context(base_url=demo.url)
    try:
        context.add_cookies(signed_in.cookies())  # type: ignore[arg-type]  # they are the same
        yield context.new_page()
    finally:
        context.close()


def _shrink(path: Path) -> None:
    """256 colours are enough for text and lines, and a quarter of the bytes."""
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def sign_in(page: Page, key: str) -> None:
    page.goto("/console/sign-in")
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")


def main(directory: Path) -> int:
    if (reason := why_not()) is not None:
        print(f"screenshots: {reason}.", file=sys.stderr)
        return 1
    demo = ConsoleDemo(directory)
    demo.fill()
    FOLDER.mkdir(exist_ok=True)
    with demo.running() as (retrain, _), running_browser() as browser:
        wait_until(demo.is_served, 600, "every model to be served", every_s=1)
        demo.live_a_little()
        wait_until(demo.is_served, 60, "all to be well", every_s=1)
        print("| page | requests | bytes over the wire | HTML | server | usable |")
        print("| --- | --- | --- | --- | --- | --- |")
        for shot in shots(demo):
            print(_row(shot, look(browser, demo, shot)), flush=True)
        trouble = Shot("trouble", "/", height=700)
        print(_row(trouble, _in_trouble(browser, demo, retrain, trouble)))
    return 0


def _in_trouble(browser: Browser, demo: ConsoleDemo, retrain: Daemon, shot: Shot) -> dict[str, Any]:
    """The retrain daemon is killed: what does the first page say?"""
    retrain.kill()
    wait_until(lambda: not demo.is_served(), 60, "the trouble to be noticed")
    return look(browser, demo, shot)


def _row(shot: Shot, found: dict[str, Any]) -> str:
    return (
        f"| {shot.name} | {found['requests']} | {found['bytes'] / 1e3:.0f} kB"
        f" | {found['html'] / 1e3:.0f} kB | {found['server_ms']:.0f} ms"
        f" | {found['usable_ms']:.0f} ms |"
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(main(Path(folder)))
