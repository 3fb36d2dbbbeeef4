"""What the pages say, over real versions, a real run log and real reports."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from datetime import timedelta

import msgspec
import pytest

from shared.exchange.json_files import read_struct, write_struct
from shared.exchange.rejected_records import (
    RejectedCount,
    RejectedRecord,
    RejectedRecords,
    rejected_path,
)
from shared.exchange.retrain_report import RETRAIN_REPORT_NAME, RetrainReport
from shared.exchange.worker_report import ServingReport, WatcherReport, WorkerReport
from tests.api_service.console.conftest import HTML, Desk
from tests.api_service.console.past import source, training, write_past, write_retrain_report
from tests.support.versions import write_signal


def text_of(desk: Desk, path: str, status: int = 200) -> str:
    answer = desk.client().get(path, headers=HTML)
    assert answer.status_code == status, answer.text
    return answer.text


@pytest.fixture
def served(desk: Desk) -> Desk:
    """Two versions, a past, and a retrain daemon."""
    desk.home.publish("m", 1)
    desk.tick()
    desk.home.publish("m", 2)
    desk.tick()
    write_past(desk.config.run_log_path, "m", 12, desk.now)
    report(desk)
    return desk


def report(desk: Desk, **changed: object) -> None:
    models = {"m": training(**{"sources": [source(desk.now)], **changed})}
    write_retrain_report(desk.config.reports_dir, desk.now, models)


def report_worker(desk: Desk) -> None:
    """As if the worker's own thread had reported."""
    worker = WorkerReport(
        host="elsewhere",
        pid=1,
        started_at=desk.now,
        updated_at=desk.now,
        watcher=WatcherReport(is_well=True, sentence="well"),
        models=dict(desk.manager.reports),
    )
    write_struct(desk.config.reports_dir / "elsewhere-1.json", worker)


def test_an_empty_system_says_what_is_missing(desk: Desk) -> None:
    """The first look comes before the first version."""
    page = text_of(desk, "/")

    assert "Not ready" in page
    assert "The first version comes with the first training" in page
    assert "no version has been promoted yet" in page
    assert "Nothing has happened yet." in page
    assert "No version yet." in text_of(desk, "/console/models/m")
    assert "No run fits." in text_of(desk, "/console/runs")


def test_the_top_says_the_sentence_of_health(served: Desk) -> None:
    """Two places that judge differently are worse than one."""
    served.config.reports_dir.joinpath("retrain.json").unlink()
    health = served.client().get("/health").json
    assert health is not None

    page = text_of(served, "/")

    assert "Needs a look" in page
    assert health["problems"][0][1:] in page.replace("&#39;", "'")


def test_no_training_is_promised_while_the_retrain_daemon_is_gone(served: Desk) -> None:
    """What it said before it died still stands in its report."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    report(served)
    path = served.config.reports_dir / RETRAIN_REPORT_NAME
    said = read_struct(path, RetrainReport)
    assert said is not None
    write_struct(path, msgspec.structs.replace(said, pid=ended.pid))

    for place in ("/", "/console/models/m"):
        page = " ".join(text_of(served, place).split())
        assert "the retrain daemon stopped" in page
        assert "while the retrain daemon is gone" in page
        assert "after 3 more new records" not in page


def test_curl_gets_json_and_a_browser_html(served: Desk) -> None:
    """`curl /` should not fill a terminal with markup."""
    answer = served.client().get("/")

    assert answer.json is not None
    assert answer.json["routes"]["health"] == "/health"
    assert "<!doctype html>" in text_of(served, "/")
    assert "Accept" in answer.headers["Vary"]


def test_every_answer_carries_the_policy(served: Desk) -> None:
    """Pages, files, redirects and errors alike."""
    client = served.client()

    for path in ("/", "/console/static/console.css", "/console/models/none", "/console/pulse"):
        headers = client.get(path, headers=HTML).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none';"), path
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_an_unchanged_page_is_answered_with_304(served: Desk) -> None:
    """The poll of an open page costs a few bytes."""
    client = served.client()
    for path in ("/", "/console/pulse"):
        first = client.get(path, headers=HTML)
        again = client.get(path, headers={**HTML, "If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b""), path


def test_the_pulse_moves_with_what_a_page_shows_and_not_with_the_clock(served: Desk) -> None:
    """Otherwise every open page would be fetched whole every few seconds."""
    client = served.client()

    def pulse() -> str | None:
        return client.get("/console/pulse").headers["ETag"]

    served.now = served.now.replace(second=1)
    report(served)
    before = pulse()
    served.now += timedelta(seconds=20)
    report(served, sources=[source(served.now)])
    assert pulse() == before
    report(served, new_records=8)
    counted = pulse()
    assert counted != before
    write_past(served.config.run_log_path, "other", 1, served.now)
    assert pulse() != counted


def test_the_files_of_a_page_may_be_kept_for_ever(served: Desk) -> None:
    """Their address changes with their content."""
    client = served.client()
    page = client.get("/", headers=HTML).text
    address = page.partition('<link rel="stylesheet" href="')[2].partition('"')[0]

    assert "immutable" in client.get(address).headers["Cache-Control"]
    assert client.get("/console/static/../pages.py").status_code == 404
    assert client.get("/console/static/none.css").status_code == 404


def test_a_training_in_progress_shows_its_stage_and_share(served: Desk) -> None:
    """Somebody who pressed the button wants to see it move."""
    report(served, running_run_id="run000011", stage="fitting", progress=0.42)

    page = text_of(served, "/console/models/m")

    assert "42 %" in page
    assert '<progress max="1" value="0.42"' in page
    assert "fitting" in page


def test_how_far_the_count_is_and_what_the_source_costs(served: Desk) -> None:
    """The two numbers that decide on the next training and on the bill."""
    page = text_of(served, "/console/models/m")

    assert "7 of 10" in page
    assert "after 3 more new records" in page
    assert "120 of 1\u2009000" in page


def test_a_troubled_system_names_each_trouble(served: Desk) -> None:
    """The source, the training, the hold: each where one looks for it."""
    sources = [source(served.now, state="unavailable", sentence="connection refused")]
    report(served, error="out of memory", hold=True, sources=sources)
    write_signal(served.home.store, "m", served.home.store.versions("m")[0], hold=True)

    page, overview = text_of(served, "/console/models/m"), text_of(served, "/?show=attention")

    for words in ("connection refused", "out of memory", "Needs a look"):
        assert words in page
        assert words in overview or words == "out of memory" or "more" in overview
    assert "held" in overview


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        ("unavailable", "tried again by itself"),
        ("misconfigured", "Correct the source"),
        ("budget", "raise daily_read_budget"),
        ("withheld", "if they are gone on purpose, confirm-deletions"),
    ],
)
def test_the_top_says_what_to_do_about_a_source(served: Desk, state: str, advice: str) -> None:
    """The sentence names the trouble; somebody who comes once a month needs the next step."""
    report(served, sources=[source(served.now, state=state, sentence="it said so")])

    assert advice in text_of(served, "/")
    assert advice in text_of(served, "/console/models/m")


def test_the_top_says_what_to_do_about_a_training_and_about_nothing(served: Desk) -> None:
    """And says nothing where all is well."""
    report_worker(served)
    page = text_of(served, "/")
    assert "All is well" in page
    assert 'class="advice"' not in page
    report(served, error="out of memory")
    assert "tried again after a pause" in text_of(served, "/")


def test_the_advice_follows_from_the_trouble_and_not_from_its_words(served: Desk) -> None:
    """Error texts are other people's: one that mentions another trouble changes nothing."""
    words = "no directory events; training of a model that is quarantined"
    report(served, sources=[source(served.now, state="misconfigured", sentence=words)])

    page = text_of(served, "/")

    assert "Correct the source" in page
    assert "Nothing is lost" not in page


def test_the_overview_finds_what_needs_a_look_what_trains_and_what_is_held(served: Desk) -> None:
    """Among thousands of models only these matter."""
    quiet = "No model fits."
    for shown in ("attention", "training", "held"):
        assert quiet in text_of(served, f"/?show={shown}")

    report(served, error="out of memory", hold=True, running_run_id="run000011")

    for shown in ("attention", "training", "held"):
        page = text_of(served, f"/?show={shown}")
        assert quiet not in page
        assert 'href="/console/models/m"' in page


def test_a_model_that_is_closed_until_somebody_asks_is_not_opened_by_a_look(served: Desk) -> None:
    """Nor does a look count as use, or the memory budget would never close anything."""
    slot = served.table.slot("m")
    slot.is_used = False
    text_of(served, "/console/models/m")
    text_of(served, "/")
    assert not slot.is_used

    slot.close()
    page = text_of(served, "/console/models/m")

    assert slot.live is None
    assert "closed until somebody asks for it" in page
    assert "idle" in text_of(served, "/")


def test_a_quarantined_version_says_why(served: Desk) -> None:
    """The most important line of the table."""
    broken = served.home.publish("m", 3, broken="load")
    served.tick()
    served.tick()  # the second look finds it quarantined
    models = dict(served.manager.reports)
    report_worker(served)
    page = text_of(served, "/console/models/m")

    assert isinstance(models["m"], ServingReport)
    assert "the version before goes on serving" in page
    assert broken in page
    assert "quarantined" in page
    assert "this model breaks when it is opened" in page


def test_runs_are_filtered_and_paged(served: Desk) -> None:
    """Thousands of runs are looked at through a filter."""
    assert "promoted" in text_of(served, "/console/runs?model=m")
    failed = text_of(served, "/console/runs?status=failed")
    assert "out of memory" in failed
    assert "✓" not in failed.partition("<tbody>")[2]
    assert "No run fits." in text_of(served, "/console/runs?model=none")
    text_of(served, "/console/runs?status=fialed", status=400)


def test_a_run_shows_what_each_gate_measured(served: Desk) -> None:
    """Why a version is not served stands there."""
    page = text_of(served, "/console/runs/run000003")

    assert "Error 1.56, champion 1.6." in page
    assert "1.1" in page
    assert "no run" in text_of(served, "/console/runs/none", status=404)


def test_two_versions_stand_side_by_side(served: Desk) -> None:
    """And what cannot be compared is said."""
    one, other = served.home.store.versions("m")
    page = text_of(served, f"/console/compare?model=m&a={one}&b={other}")

    assert "1 feature is the same" in page
    assert "Neither version carries held-out rows or answers" in page
    text_of(served, f"/console/compare?model=m&a={one}&b=../../etc", status=400)


def test_which_records_cannot_be_used_is_shown_to_the_admin_alone(served: Desk) -> None:
    """They hold what people wrote; everybody who reads sees how many there are, and why."""
    record = RejectedRecord(stream="rows", id="row-4711", updated_at=served.now, reason="no day")
    listed = RejectedRecords(
        model="m",
        written_at=served.now,
        counts=[RejectedCount("rows", "no day", 900)],
        records=[record],
    )
    path = rejected_path(served.config.reports_dir, "m")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_struct(path, listed)
    admin = served.client()
    served.sign_in(admin)

    anybody = text_of(served, "/console/models/m")
    shown = admin.get("/console/models/m", headers=HTML).text

    assert "rows: 900 no day" in anybody
    assert "row-4711" not in anybody
    assert "row-4711" in shown


def test_names_and_sentences_are_text_and_never_markup(served: Desk) -> None:
    """A reason that somebody sends must not become a script in the operator's browser."""
    with sqlite3.connect(served.config.run_log_path) as log:
        log.execute("UPDATE events SET sentence = '<script>alert(1)</script>'")
        log.execute("UPDATE runs SET error = '<img src=x onerror=y>' WHERE error IS NOT NULL")

    for path in ("/", "/console/models/m", "/console/runs"):
        page = text_of(served, path + ("?q=%22%3E%3Cscript%3E" if path == "/" else ""))
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert '"><script>' not in page


def test_a_broken_run_log_is_said_and_takes_no_prediction_down(served: Desk) -> None:
    """The console is only a window."""
    served.config.run_log_path.write_bytes(b"not a database" * 100)
    client = served.client()

    assert client.get("/console/models/m", headers=HTML).status_code == 503
    answer = client.post("/models/m/predict", json={"instances": [{"x": 1}]})
    assert answer.status_code == 200
