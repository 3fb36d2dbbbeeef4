"""The console as people meet it: a real browser, real workers, a real swap."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shared.exchange.control_request import Request
from shared.exchange.json_files import read_struct
from shared.keys.api_keys import ensure_api_keys
from shared.keys.console_secret import ensure_console_secret
from tests.api_service.console.past import source, training, write_past, write_retrain_report
from tests.support import browser as browsers
from tests.support.api_process import ApiHome
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.skipif(browsers.why_not() is not None, reason=str(browsers.why_not()))

PAGES = ("/", "/console/models/m", "/console/runs", "/console/runs/run000000", "/console/sign-in")


class Console(ApiHome):
    """A home with two versions, a past, and a daemon's report that is kept fresh."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, workers=2)
        ensure_api_keys(self.path / "keys")
        ensure_console_secret(self.path / "keys")
        self.older, self.newer = self.publish("m", 1), self.publish("m", 2)
        self.n_published = 2
        write_past(self.path / "run_log.sqlite", "m", 12, datetime.now(UTC))
        self.write_report()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_key(self) -> str:
        return (self.path / "keys" / "admin.key").read_text().strip()

    def write_report(self) -> None:
        now = datetime.now(UTC)
        models = {"m": training(sources=[source(now)])}
        write_retrain_report(self.path / "reports", now, models)

    def publish_next(self) -> str:
        self.n_published += 1
        return self.publish("m", self.n_published)

    def requests(self) -> list[Request]:
        """What was asked of the retrain daemon."""
        found = (read_struct(path, Request) for path in (self.path / "requests").glob("*.json"))
        return [one for one in found if one is not None]


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    home = Console(tmp_path_factory.mktemp("console"))
    stop = threading.Event()

    def report() -> None:
        while not stop.wait(3):
            home.write_report()

    with home.running():
        home.wait_until_served(home.newer)
        threading.Thread(target=report, daemon=True).start()
        yield home
        stop.set()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers.running_browser() as found:
        yield found


@contextlib.contextmanager
def visit(
    browser: Browser, path: str, console: Console, **options: object
) -> Iterator[tuple[BrowserContext, Page, list[str]]]:
    """A fresh profile on a page; the list holds what the page complains about."""
    context = browser.new_context(base_url=console.url, **options)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(10_000)
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path)
    try:
        yield context, page, complaints
    finally:
        context.close()


def sign_in(page: Page, console: Console) -> None:
    page.goto("/console/sign-in?next=/console/models/m")
    page.get_by_label("Key").fill(console.admin_key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{console.url}/console/models/m")


def test_the_first_page_says_at_once_whether_all_is_well(
    browser: Browser, console: Console
) -> None:
    """Somebody looks for ten seconds, once a week."""
    with visit(browser, "/", console) as (_, page, complaints):
        assert page.get_by_role("heading", level=1).inner_text().endswith("All is well")
        page.get_by_role("link", name="m", exact=True).first.click()

        assert page.get_by_role("img", name="Error of candidates and champions").is_visible()
        assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_fault_for_those_who_see_or_hear_it_otherwise(
    browser: Browser, console: Console, scheme: str
) -> None:
    """Contrast, names of fields, headings, tables: judged by axe-core in both schemes."""
    if not browsers.AXE.exists():
        pytest.skip("axe-core is not installed (scripts/test.sh installs it with npm)")
    compare = f"/console/compare?model=m&a={console.older}&b={console.newer}"

    with visit(browser, "/", console, color_scheme=scheme) as (_, page, _):
        for path in (*PAGES, compare):
            page.goto(path)
            assert browsers.axe_findings(page) == [], path
        sign_in(page, console)
        assert browsers.axe_findings(page) == []


def test_nothing_comes_from_elsewhere_and_the_policy_is_kept(
    browser: Browser, console: Console
) -> None:
    """A console must work in a cellar without internet, and run no script but its own."""
    with visit(browser, "/", console) as (_, page, complaints):
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for path in PAGES:
            page.goto(path)

        assert complaints == []
        assert {url.split("/")[2] for url in asked} == {f"127.0.0.1:{console.port}"}


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_no_page_is_wider_than_the_screen(browser: Browser, console: Console, width: int) -> None:
    """On a phone only tables and pictures scroll sideways, in their own boxes."""
    size = {"width": width, "height": 800}
    with visit(browser, "/", console, viewport=size) as (_, page, _):
        for path in PAGES:
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_everything_is_there_without_a_script(browser: Browser, console: Console) -> None:
    """Pages, pictures, filter, sign-in and buttons are plain HTML."""
    with visit(browser, "/", console, java_script_enabled=False) as (_, page, _):
        page.get_by_label("Name has").fill("nothing like it")
        page.get_by_role("button", name="Filter").click()
        assert page.get_by_text("No model fits.").is_visible()

        sign_in(page, console)
        page.get_by_role("img", name="Error of candidates and champions").wait_for()
        page.get_by_label("Reason").nth(0).fill("without a script")
        page.get_by_role("button", name="Train now").click()

        assert "m is trained with everything known" in page.get_by_role("status").first.inner_text()
        asked = [one for one in console.requests() if one.reason == "without a script"]
        assert [one.kind for one in asked] == ["train"]


def test_a_button_is_reached_and_pressed_with_the_keyboard_alone(
    browser: Browser, console: Console
) -> None:
    """Who cannot use a mouse rolls back just the same."""
    with visit(browser, "/console/models/m", console) as (_, page, _):
        tab_to(page, "Sign in with the admin key")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("/sign-in"))
        tab_to(page, "", "key")
        page.keyboard.type(console.admin_key)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{console.url}/console/models/m")
        tab_to(page, "Hold this version")
        page.keyboard.press("Enter")
        page.get_by_text("Asked for:").wait_for()

    assert "hold" in [one.kind for one in console.requests()]


def tab_to(page: Page, text: str, id_: str = "") -> None:
    """Press Tab until the element has the focus, as a person would."""
    seen = []
    for _ in range(80):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "[document.activeElement.innerText || '', document.activeElement.id || '']"
        )
        seen.append(found)
        if (id_ and found[1] == id_) or (text and found[0].strip() == text):
            return
    pytest.fail(f"{text or id_} was not reached: {json.dumps(seen)}")


def test_a_page_kept_open_shows_the_new_version_without_being_loaded_again(
    browser: Browser, console: Console
) -> None:
    """Through a swap the page stays, and so does the place that somebody is at in it."""
    with visit(browser, "/console/models/m", console) as (_, page, complaints):
        page.evaluate("window.isTheSamePage = true")
        numbers = page.locator("#history summary").first
        numbers.click()
        numbers.focus()
        version = console.publish_next()

        page.locator("#facts").get_by_text(version).wait_for(timeout=20_000)

        assert page.evaluate("window.isTheSamePage") is True
        assert page.locator("#sentence").inner_text().startswith(f"m {version} is served")
        assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
        assert page.locator("#history details").first.get_attribute("open") is not None
        assert complaints == []


def test_a_page_says_when_the_server_is_gone_and_recovers(
    browser: Browser, console: Console
) -> None:
    """Old numbers must not look like new ones."""
    with visit(browser, "/", console) as (context, page, _):
        context.set_offline(True)
        page.get_by_text("No answer from the server").wait_for(timeout=15_000)
        context.set_offline(False)
        wait_until(lambda: page.locator("#pulse").inner_text() == "", 30, "the page to recover")
