"""What the API tells of the retrain daemon, also when that is gone."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from api_service.metrics.catalogue import TRAINING
from shared.exchange.json_files import write_struct
from shared.exchange.retrain_report import (
    RETRAIN_REPORT_NAME,
    BufferReport,
    RetrainReport,
    SourceReport,
    TrainingReport,
)
from shared.exchange.training_metrics import ModelTrainings, TrainingMetrics, metrics_dir
from tests.api_service.conftest import NOW, Serving
from tests.api_service.metrics.test_metrics import Samples, samples_of, value


def source(name: str = "shop", **changes: object) -> SourceReport:
    report = SourceReport(
        source=name,
        stream="orders",
        state="ok",
        sentence="up to date",
        since=NOW,
        last_read_at=NOW - timedelta(seconds=20),
        billed_reads_today=50,
        daily_read_budget=1000,
        n_records=10,
        n_without_cursor_field=2,
    )
    return msgspec.structs.replace(report, **changes)


def training(sources: list[SourceReport], new_records: int = 4) -> TrainingReport:
    return TrainingReport(
        new_records=new_records,
        new_records_needed=10,
        next_due="",
        last_run_id=None,
        running_run_id=None,
        stage=None,
        progress=None,
        error=None,
        hold=False,
        n_usable_records=10,
        buffer=BufferReport(
            n_records=10,
            n_files=1,
            oldest=NOW - timedelta(days=9),
            newest=NOW - timedelta(minutes=5),
            size_bytes=4096,
            rejected={"no date": 3},
        ),
        sources=sources,
    )


def report(directory: Path, models: dict[str, TrainingReport], *, age_s: float = 1) -> None:
    """A retrain daemon that runs (this process) and reported `age_s` ago."""
    told = RetrainReport(
        host=socket.gethostname(),
        pid=os.getpid(),
        started_at=NOW,
        updated_at=NOW - timedelta(seconds=age_s),
        models=models,
    )
    write_struct(directory / RETRAIN_REPORT_NAME, told)


def scraped(serving: Serving) -> Samples:
    return samples_of(serving.client().get("/metrics").text)


def test_what_the_retrain_daemon_reports_is_told(serving: Serving) -> None:
    """One scrape target for both daemons."""
    report(serving.config.reports_dir, {"m": training([source()])})

    samples = scraped(serving)

    of_stream = {"model": "m", "source": "shop", "stream": "orders"}
    assert value(samples, "hotfit_retrain_up") == 1
    assert value(samples, "hotfit_retrain_heartbeat_age_seconds") == 1
    assert value(samples, "hotfit_training_pending_records", model="m") == 4
    assert value(samples, "hotfit_training_trigger_records", model="m") == 10
    assert value(samples, "hotfit_source_up", **of_stream) == 1
    assert value(samples, "hotfit_source_unreadable_records", **of_stream) == 2
    assert value(samples, "hotfit_source_last_read_timestamp_seconds", **of_stream) == (
        NOW.timestamp() - 20
    )
    assert value(samples, "hotfit_source_billed_reads", source="shop") == 50
    assert value(samples, "hotfit_source_read_budget", source="shop") == 1000
    assert value(samples, "hotfit_source_lag_seconds", model="m") == 300
    assert value(samples, "hotfit_buffer_records", model="m") == 10
    assert value(samples, "hotfit_buffer_rejected_records", model="m") == 3


def test_a_daemon_that_is_gone_shows_and_its_counters_stay(serving: Serving) -> None:
    """Gauges of a dead daemon would say that all is well for ever."""
    folder = metrics_dir(serving.config.reports_dir)
    folder.mkdir(parents=True)
    counted = TrainingMetrics(models={"m": ModelTrainings(runs={"promoted": 3})})
    (folder / "retrain.json").write_bytes(msgspec.json.encode(counted))

    samples = scraped(serving)

    assert samples["hotfit_retrain_up", ()] == 0
    assert value(samples, "hotfit_training_runs_total", outcome="promoted") == 3
    assert ("hotfit_training_runs_total", (("model", "m"), ("outcome", "failed"))) in samples
    assert not [name for name, _ in samples if name.startswith("hotfit_source")]


def test_a_daemon_that_is_silent_is_not_up(serving: Serving) -> None:
    """Its process may live while its loop hangs."""
    report(serving.config.reports_dir, {"m": training([source()])}, age_s=120)

    samples = scraped(serving)

    assert samples["hotfit_retrain_up", ()] == 0
    assert value(samples, "hotfit_retrain_heartbeat_age_seconds") == 120


@pytest.mark.parametrize("state", ["unavailable", "misconfigured"])
def test_a_source_that_does_not_answer_is_down(serving: Serving, state: str) -> None:
    """A budget that is used up is no outage."""
    sources = [source(state=state), source("other", state="budget", daily_read_budget=0)]
    report(serving.config.reports_dir, {"m": training(sources)})

    samples = scraped(serving)

    assert value(samples, "hotfit_source_up", source="shop") == 0
    assert value(samples, "hotfit_source_up", source="other") == 1
    assert not [
        key for key in samples if key == ("hotfit_source_read_budget", (("source", "other"),))
    ]


def test_entities_are_one_series_with_the_one_that_waits_most(serving: Serving) -> None:
    """It is the one that a run is due for next."""
    models = {f"solar/{i}": training([source()], new_records=i) for i in range(50)}
    report(serving.config.reports_dir, models)

    samples = scraped(serving)

    waiting = {key: n for key, n in samples.items() if key[0] == "hotfit_training_pending_records"}
    assert waiting == {("hotfit_training_pending_records", (("model", "solar"),)): 49}
    assert value(samples, "hotfit_buffer_records") == 10


def test_promtool_finds_nothing_to_complain_of(serving: Serving) -> None:
    """Prometheus' own linter over everything that is told of training."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("Prometheus is not installed (Debian: apt-get install prometheus)")
    report(serving.config.reports_dir, {"m": training([source()])})
    folder = metrics_dir(serving.config.reports_dir)
    folder.mkdir(parents=True)
    trained = ModelTrainings(runs={"rejected": 1}, refusals={"data": 1}, last_success_at=NOW)
    counted = TrainingMetrics(models={"m": trained}, notifications={"sent": 1})
    (folder / "retrain.json").write_bytes(msgspec.json.encode(counted))
    text = serving.client().get("/metrics").text

    checked = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    told = {name for name, _ in samples_of(text)}
    for name, spec in TRAINING.items():
        assert f"{name}_count" in told if spec.kind == "histogram" else name in told, name
