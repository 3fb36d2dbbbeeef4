"""The retrain daemon's counters are sums over its log: nothing twice, nothing left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from retrain_service.observers.training_metrics import OUTCOME_OF_EVENT, TrainingMetricsExporter
from shared.exchange.training_metrics import read_training_metrics
from shared.run_log.run import Run, RunStatus
from shared.run_log.writer import RunLog

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
REFUSED = {
    "gates": [{"gate": "data", "verdict": "passed"}, {"gate": "champion", "verdict": "failed"}]
}


class Log:
    """A real run log, and runs that end in it."""

    def __init__(self, directory: Path) -> None:
        self.reports_dir = directory / "reports"
        self.run_log = RunLog.open(directory / "run_log.sqlite")
        self.n = 0
        self.notified: dict[str, int] = {}

    def book(self) -> TrainingMetricsExporter:
        return TrainingMetricsExporter(
            self.reports_dir, self.run_log, ["m", "solar"], lambda: self.notified
        )

    def end_run(
        self,
        kind: str,
        *,
        model: str = "m",
        status: RunStatus = RunStatus.SUCCEEDED,
        took_s: float = 10,
        details: Mapping[str, Any] | None = None,
    ) -> str:
        """A run of which the log says `kind`."""
        self.n += 1
        run_id, began = f"run-{self.n}", START + timedelta(hours=self.n)
        run = Run(run_id, model, "manual", "", "v", self.n, RunStatus.QUEUED, began)
        ended = began + timedelta(seconds=took_s)
        self.run_log.add_run(run)
        self.run_log.start_run(run_id, began, 1, details)
        self.run_log.finish_run(run_id, ended, status)
        self.run_log.add_event(ended, model, kind, "…", run_id=run_id)
        return run_id


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log(tmp_path)
    with closing(made.run_log):
        yield made


def test_runs_are_counted_by_what_became_of_them(log: Log) -> None:
    """With how long they took, and which gate refused them."""
    book = log.book()
    log.end_run("promote", took_s=20)
    log.end_run("reject", details=REFUSED)
    log.end_run("failed", status=RunStatus.FAILED)
    log.run_log.add_event(START, "m", "source", "up to date")

    book.update()

    model = read_training_metrics(log.reports_dir).models["m"]
    assert model.runs == {"promoted": 1, "rejected": 1, "failed": 1}
    assert model.refusals == {"champion": 1}
    assert (sum(model.seconds.counts), model.seconds.total) == (3, 40)
    assert model.last_success_at == START + timedelta(hours=2, seconds=10)


def test_a_restart_counts_nothing_twice_and_nothing_is_left_out(log: Log) -> None:
    """Also what happened between the last look and a crash."""
    log.book().update()
    log.end_run("promote")
    log.book().update()
    log.end_run("promote")  # and the daemon dies before it looks

    for _ in range(3):
        log.book().update()

    assert read_training_metrics(log.reports_dir).models["m"].runs == {"promoted": 2}


def test_failures_in_a_row_end_with_a_verdict_and_not_with_a_cancel(log: Log) -> None:
    """An alert hangs on it."""
    book = log.book()
    for kind in ("failed", "failed", "cancelled", "abandoned", "failed"):
        log.end_run(kind)
    book.update()
    assert read_training_metrics(log.reports_dir).models["m"].failures_in_a_row == {"m": 3}

    log.end_run("reject")
    book.update()

    assert read_training_metrics(log.reports_dir).models["m"].failures_in_a_row == {}


def test_entities_of_a_model_are_counted_together(log: Log) -> None:
    """Thousands of devices must not become thousands of series."""
    book = log.book()
    log.end_run("promote", model="solar/roof-1")
    log.end_run("failed", model="solar/roof-2")

    book.update()

    models = read_training_metrics(log.reports_dir).models
    assert models.keys() == {"m", "solar"}
    assert models["solar"].runs == {"promoted": 1, "failed": 1}
    assert models["solar"].failures_in_a_row == {"solar/roof-2": 1}


def test_messages_to_people_go_on_being_counted_after_a_restart(log: Log) -> None:
    """The notifier counts from nothing at each start."""
    log.notified = {"sent": 2, "failed": 1}
    log.book().update()
    log.notified = {"sent": 3, "failed": 0}
    log.book().update()

    assert read_training_metrics(log.reports_dir).notifications == {"sent": 5, "failed": 1}


def test_a_log_that_was_begun_anew_is_counted_from_its_beginning(log: Log, tmp_path: Path) -> None:
    """Its numbers start again at 1; what was counted before stays."""
    log.end_run("promote")
    log.end_run("promote")
    log.book().update()
    log.run_log.close()
    for path in tmp_path.glob("run_log.sqlite*"):
        path.unlink()
    anew = Log(tmp_path)
    with closing(anew.run_log):
        anew.end_run("promote")
        anew.book().update()

    assert read_training_metrics(log.reports_dir).models["m"].runs == {"promoted": 3}


def test_a_file_that_cannot_be_read_is_counted_anew_from_the_log(log: Log) -> None:
    """It is derived: the log is the truth."""
    log.end_run("promote")
    log.book().update()
    (log.reports_dir / "metrics" / "retrain.json").write_text("{")

    log.book().update()

    assert read_training_metrics(log.reports_dir).models["m"].runs == {"promoted": 1}


def test_every_end_of_a_run_has_an_outcome() -> None:
    """A new status must not vanish from the counters."""
    ends = set(RunStatus) - {RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.SUCCEEDED}

    assert {str(each) for each in ends} <= OUTCOME_OF_EVENT.keys()
