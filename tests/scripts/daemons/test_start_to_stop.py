"""The scripts as a newcomer runs them, on the real daemons: start, try, add, look, stop.

The tests of this module tell one story, in order, on one start.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.run_log.run import UNFINISHED
from tests.scripts.site import ROOT, Site
from tests.support.printed_examples import differences, examples, read_shortened
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="runs the .sh scripts"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site.copy_to(tmp_path_factory.mktemp("start"))
    yield site
    site.run("stop.sh")
    for process in site.processes():
        process.kill()


@pytest.fixture(scope="module")
def started(site: Site) -> str:
    """What start.sh printed."""
    done = site.run("start.sh", "--wait", "120", timeout_s=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def answer(site: Site, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{site.port}{path}", timeout=5) as response:
        found: dict[str, Any] = json.load(response)
        return found


def health(site: Site) -> dict[str, Any]:
    return answer(site, "/health")


def served(site: Site) -> set[str]:
    """The versions that the workers serve."""
    return {worker["version"] for worker in health(site)["models"][0]["workers"]}


def daemons_and_workers(site: Site) -> set[int]:
    """The processes that stay from start to stop, unlike those that end when nobody needs them."""
    daemons = {int(file.read_text()) for file in (site.home / "pids").glob("*.pid")}
    return daemons | {worker["pid"] for worker in health(site)["models"][0]["workers"]}


def test_start_says_what_it_uses_where_it_is_and_what_to_try(site: Site, started: str) -> None:
    """The first minute decides whether somebody stays."""
    assert "embedded demo database" in started
    assert "synthetic" in started
    assert f"http://127.0.0.1:{site.port}" in started
    assert str(site.home / "logs") in started
    assert started.count("  curl -s ") == 3
    assert "Traceback" not in started


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_printed_curl_lines_work_as_they_stand(started: str) -> None:
    """Copied from the terminal, pasted into it."""
    lines = [line.strip() for line in started.splitlines() if line.startswith("  curl ")]

    answers = []
    for line in lines:
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, line
        answers.append(json.loads(done.stdout))

    told_health, forecast, parts = answers
    assert told_health["status"] == "ok"
    assert forecast["status"] == "success"
    assert forecast["start_date"] in {
        f"{datetime.now(UTC) - timedelta(days=i):%Y-%m-%d}" for i in range(2)
    }
    assert len(forecast["total_restock_demand"]) == 15
    assert {part["name"] for part in parts["parts"]} == set(forecast["total_restock_demand"])


def test_a_second_start_is_refused_in_one_clear_line(site: Site, started: str) -> None:
    """Two daemons on one home would fight; a person only forgot that it runs."""
    before = {process.pid for process in site.processes()}
    lasting = daemons_and_workers(site)
    assert len(lasting) == 4

    again = site.run("start.sh")

    assert again.returncode == 3
    assert "Already running" in again.stderr
    assert "Traceback" not in again.stderr
    assert daemons_and_workers(site) == lasting
    # The fork server, a training child and the like may have ended meanwhile; none may have begun.
    assert lasting <= {process.pid for process in site.processes()} <= before


def test_status_shows_both_daemons_the_version_and_the_last_run(site: Site, started: str) -> None:
    """Ten seconds to see whether all is well."""
    (version,) = served(site)

    shown = site.run("status.sh")

    assert shown.returncode == 0, shown.stderr
    rows = {line.split()[0]: line.split() for line in shown.stdout.splitlines() if line}
    for daemon in ("retrain_service", "api_service"):
        assert rows[daemon][1] == "running"
        pid = (site.home / "pids" / f"{daemon}.pid").read_text().strip()
        assert rows[daemon][2] == pid
    assert rows["api_service"][3] == str(site.port)
    assert f"serves {version} on 2 of 2 workers" in shown.stdout
    assert re.search(rf"last run +{version} succeeded, promoted", shown.stdout)
    assert "\033[" not in shown.stdout, "colours are for terminals"


def test_twelve_new_appointments_become_a_newer_version_on_every_worker(
    site: Site, started: str
) -> None:
    """What Hotfit is for: nobody touches anything but the application's own database."""
    (before,) = served(site)
    began = time.monotonic()

    added = subprocess.run(
        [sys.executable, str(site.root / "scripts" / "demo" / "seed.py"), "add", "12"],
        cwd=site.root.parent,
        env=site.environment,
        capture_output=True,
        text=True,
    )

    assert added.returncode == 0, added.stderr

    def is_newer_everywhere() -> bool:
        versions = served(site)
        return len(versions) == 1 and min(versions) > before

    wait_until(is_newer_everywhere, 30, "a newer version on every worker", every_s=0.2)
    assert time.monotonic() - began < 30


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("page", ["README.md", "docs/http-api.md"])
def test_documented_curl_lines_answer_as_printed(site: Site, started: str, page: str) -> None:
    """What is copied from a page works as it stands, and answers with the fields that are shown."""
    # Two, since the test before; the last finished one may be shown and not taken away.
    runs = answer(site, "/runs?status=succeeded")["runs"]
    for example in examples(ROOT / page):
        if not example.command.startswith("curl "):
            continue
        command = example.command.replace("127.0.0.1:5000", f"127.0.0.1:{site.port}")
        run = runs[-1 if "DELETE" in command else 0]
        command = re.sub(r"/runs/\w+", f"/runs/{run['run_id']}", command)
        command = re.sub(r"\d{4}-\d\d-\d\d", f"{datetime.now(UTC):%Y-%m-%d}", command)

        done = subprocess.run(
            ["sh", "-c", command], cwd=site.root, capture_output=True, text=True, timeout=30
        )

        printed, found = read_shortened(example.printed), json.loads(done.stdout)
        assert not list(differences(printed, found)), example

    def nothing_goes_on() -> bool:
        unfinished = [answer(site, f"/runs?status={each}")["total"] for each in UNFINISHED]
        return not sum(unfinished) and not list((site.home / "requests").glob("*.json"))

    wait_until(nothing_goes_on, 60, "the end of what the page has asked for")


def test_stop_leaves_no_process_and_status_says_stopped(site: Site, started: str) -> None:
    """Workers and training children included."""
    assert site.processes()

    stopped = site.run("stop.sh")

    assert stopped.returncode == 0, stopped.stderr
    assert re.search(r"retrain_service +stopped", stopped.stdout)
    assert re.search(r"api_service +stopped", stopped.stdout)
    assert site.processes() == []
    assert not list((site.home / "pids").glob("*.pid"))
    status = site.run("status.sh")
    assert status.returncode == 3
    assert status.stdout.count("stopped") == 2
    assert "Nothing was running" in site.run("stop.sh").stdout


def test_a_taken_port_is_one_clear_line_and_nothing_is_left_running(site: Site) -> None:
    """Another program has the port: say which setting to change, and tidy up."""
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])

        refused = site.run("start.sh", HOTFIT_API__PORT=port)

    assert refused.returncode == 4
    assert "api.port" in refused.stderr
    assert port in refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr
    assert site.processes() == []


def test_a_wrong_configuration_is_one_line_a_fault(site: Site) -> None:
    """Named relative to where the caller stands, as every other file name."""
    (site.root.parent / "wrong.toml").write_text("[api]\nworkers = 99\nprot = 1\n")

    refused = site.run("start.sh", HOTFIT_CONFIG="wrong.toml")

    assert refused.returncode == 2
    assert [line.split(": ")[:2] for line in refused.stderr.splitlines()] == [
        ["wrong.toml", "api.workers"],
        ["wrong.toml", "api.prot"],
    ]
    assert site.processes() == []
