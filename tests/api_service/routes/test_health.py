"""What curl says at a glance, for every state that people meet."""

from __future__ import annotations

import os
import socket
import sqlite3
from datetime import timedelta
from typing import Any

import pytest

from shared.exchange.json_files import write_struct
from shared.exchange.retrain_report import (
    RETRAIN_REPORT_NAME,
    RetrainReport,
    SourceReport,
    TrainingReport,
)
from shared.exchange.worker_report import WatcherReport, WorkerReport
from tests.api_service.conftest import NOW, Serving
from tests.support.versions import ServingHome

WELL = WatcherReport(is_well=True, sentence="directory events arrive.")


def training_report(**changes: Any) -> TrainingReport:
    fields: dict[str, Any] = {
        "new_records": 3,
        "new_records_needed": 10,
        "next_due": "7 more records.",
        "last_run_id": None,
        "running_run_id": None,
        "stage": None,
        "progress": None,
        "error": None,
        "hold": False,
        "n_usable_records": 100,
        "sources": [],
    }
    return TrainingReport(**(fields | changes))


def source_report(state: str, sentence: str) -> SourceReport:
    return SourceReport(
        source="shop",
        stream="appointments",
        state=state,
        sentence=sentence,
        since=NOW,
        last_read_at=NOW,
        billed_reads_today=0,
        daily_read_budget=0,
        n_records=100,
        n_without_cursor_field=0,
    )


def write_retrain_report(serving: Serving, *, age_s: int = 1, pid: int = 0, **changes: Any) -> None:
    report = RetrainReport(
        host=socket.gethostname(),
        pid=pid or os.getpid(),
        started_at=NOW,
        updated_at=NOW - timedelta(seconds=age_s),
        models={"m": training_report(**changes)},
    )
    write_struct(serving.config.reports_dir / RETRAIN_REPORT_NAME, report)


def write_worker_report(serving: Serving, *, age_s: int = 1, watcher: WatcherReport = WELL) -> None:
    report = WorkerReport(
        host=socket.gethostname(),
        pid=os.getpid(),
        started_at=NOW + timedelta(days=3650),  # younger than this very process
        updated_at=NOW - timedelta(seconds=age_s),
        watcher=watcher,
        models=dict(serving.manager.reports),
    )
    write_struct(serving.config.reports_dir / f"{report.host}-{report.pid}.json", report)


def healthy(home: ServingHome, serving: Serving) -> str:
    version = home.publish("m", 1, newest_record_at=NOW - timedelta(minutes=4))
    serving.tick()
    write_worker_report(serving)
    write_retrain_report(serving)
    return version


def test_health_says_in_one_sentence_that_all_is_well(home: ServingHome, serving: Serving) -> None:
    """The first thing anybody asks, answered in the first lines."""
    version = healthy(home, serving)

    answer = serving.client().get("/health")

    assert answer.status_code == 200
    body = answer.json
    assert body is not None
    assert body["status"] == "ok"
    assert body["problems"] == []
    assert f"m {version} is served by 1 worker" in body["sentence"]
    assert answer.get_data(as_text=True).startswith('{\n  "status": "ok",\n')
    model = body["models"][0]
    assert model["version"] == version
    assert model["watermark"] == "2026-11-21T11:56:00Z"
    assert (model["watermark_age_s"], model["watermark_age"]) == (240, "4 min")
    assert model["fitted_until"] == "2026-10-31T23:59:59.999999Z"
    assert model["fitted_age"] == "20 days"
    assert model["workers"] == [
        {"pid": os.getpid(), "version": version, "generation": 1, "state": "serving"}
    ]
    assert model["last_swap"]["requests_failed"] == 0


def test_a_naive_baseline_that_serves_is_a_problem_that_health_names(
    home: ServingHome, serving: Serving
) -> None:
    """Requests are answered, and somebody has to look why no model is better than a guess."""
    home.publish("m", 1, candidate="baseline")
    serving.tick()
    write_worker_report(serving)
    write_retrain_report(serving)

    body = serving.client().get("/health").json

    assert body is not None
    assert (body["status"], body["problem_codes"]) == ("degraded", ["baseline_served"])
    assert "m serves the naive baseline" in body["sentence"]
    assert body["models"][0]["candidate"] == "baseline"
    assert serving.client().get("/readyz").status_code == 200


def test_health_without_a_version_is_not_ready_and_says_what_comes(serving: Serving) -> None:
    """At a first start somebody waits in front of this sentence."""
    serving.tick()
    write_worker_report(serving)
    write_retrain_report(serving, running_run_id="run-1", stage="fit")

    answer = serving.client().get("/health")

    assert answer.status_code == 503
    body = answer.json
    assert body is not None
    assert body["status"] == "not_ready"
    assert "no version has been promoted yet" in body["sentence"]
    assert "Training runs now (run-1, fit)" in body["sentence"]


def test_readyz_is_503_with_the_reason_until_a_model_serves(
    home: ServingHome, serving: Serving
) -> None:
    """A balancer needs the status, a person the reason."""
    client = serving.client()
    serving.tick()
    assert client.get("/livez").status_code == 200
    not_ready = client.get("/readyz")
    assert not_ready.status_code == 503
    assert "no version has been promoted yet" in not_ready.get_data(as_text=True)

    home.publish("m", 1)
    serving.tick()

    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"age_s": 100}, "has not reported for 100 s"),
        ({"pid": 2**22 + 1}, "the retrain daemon stopped"),
        ({"error": "out of memory"}, "training of m: out of memory"),
        (
            {"sources": [source_report("unavailable", "no answer since 11:58.")]},
            "m: shop.appointments is unavailable: no answer since 11:58.",
        ),
        ({"sources": [source_report("budget", "the day's reads are spent.")]}, "is budget"),
    ],
)
def test_health_is_degraded_with_the_reason(
    home: ServingHome, serving: Serving, changes: dict[str, Any], sentence: str
) -> None:
    """Answers go on, but somebody should look; where to look is in the sentence."""
    healthy(home, serving)
    write_retrain_report(serving, **changes)

    body = serving.client().get("/health").json

    assert body is not None
    assert body["status"] == "degraded"
    assert sentence in body["sentence"]


def test_health_is_degraded_without_a_retrain_daemon(home: ServingHome, serving: Serving) -> None:
    """A model that nobody renews looks fine for weeks."""
    healthy(home, serving)
    (serving.config.reports_dir / RETRAIN_REPORT_NAME).unlink()

    body = serving.client().get("/health").json

    assert body is not None
    assert body["status"] == "degraded"
    assert "the retrain daemon has not started here" in body["sentence"]


def test_health_counts_the_workers_that_report(home: ServingHome, serving: Serving) -> None:
    """A worker that hangs or cannot start is seen by the others."""
    healthy(home, serving)
    write_worker_report(serving, age_s=60)
    body = serving.client().get("/health").json
    assert body is not None
    assert "has not reported for 60 s" in body["sentence"]

    for path in serving.config.reports_dir.glob(f"{socket.gethostname()}-*.json"):
        path.unlink()
    body = serving.client().get("/health").json
    assert body is not None
    assert "no worker's report is found" in body["sentence"]


def test_health_tells_a_deaf_watcher(home: ServingHome, serving: Serving) -> None:
    """Changes are still seen by the timer, but later than they could be."""
    healthy(home, serving)
    write_worker_report(
        serving, watcher=WatcherReport(is_well=False, sentence="no directory events: limit.")
    )

    body = serving.client().get("/health").json

    assert body is not None
    assert body["status"] == "degraded"
    assert "no directory events: limit." in body["sentence"]


def test_health_tells_a_quarantined_version_with_its_reason(
    home: ServingHome, serving: Serving
) -> None:
    """The old one answers; why the new one does not is the operator's question."""
    good = healthy(home, serving)
    home.publish("m", 2, broken="load")
    serving.tick()
    serving.tick()
    write_worker_report(serving)

    body = serving.client().get("/health").json

    assert body is not None
    assert body["status"] == "degraded"
    assert "breaks when it is opened" in body["sentence"]
    assert body["models"][0]["version"] == good
    assert "breaks when it is opened" in body["models"][0]["last_error"]


def test_health_survives_a_broken_report(home: ServingHome, serving: Serving) -> None:
    """Health is asked when things are broken; it must not break with them."""
    healthy(home, serving)
    (serving.config.reports_dir / RETRAIN_REPORT_NAME).write_bytes(b"{")
    (serving.config.reports_dir / "other-1.json").write_bytes(b"\x00")
    sqlite3.connect(serving.config.run_log_path).close()

    answer = serving.client().get("/health")

    assert answer.status_code == 200
    assert "not a RetrainReport" in answer.get_data(as_text=True)
