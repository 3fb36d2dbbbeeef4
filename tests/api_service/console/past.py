"""A past to look at: a real run log and a real report of a retrain daemon that is this process."""

from __future__ import annotations

import os
import socket
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from shared.exchange.json_files import write_struct
from shared.exchange.retrain_report import (
    RETRAIN_REPORT_NAME,
    RetrainReport,
    SourceReport,
    TrainingReport,
)
from shared.run_log.run import Run, RunStatus
from shared.run_log.writer import RunLog
from shared.versions.model_version import ModelVersion

GATE = {"n": 100, "verdict": "passed"}


def details(error: float, champion: float | None, unit: str = "pieces") -> dict[str, Any]:
    """Of a run that was judged."""
    gates: list[dict[str, Any]] = [
        {"gate": "baseline", "value": error, "bound": 2.0, "sentence": f"Error {error}.", **GATE}
    ]
    metrics = {"candidate": {"mae": error}, "baseline": {"mae": 2.0}}
    if champion is not None:
        ratio = error / champion
        sentence = f"Error {error}, champion {champion}."
        gates.append(
            {"gate": "champion", "value": ratio, "bound": 1.1, "sentence": sentence, **GATE}
        )
        metrics["champion"] = {"mae": champion}
    return {"gates": gates, "metrics": metrics, "metric_unit": unit, "rows": 100, "days": 20}


def write_past(path: Path, model: str, n_runs: int, now: datetime) -> None:
    """Runs one an hour up to an hour ago: every seventh failed, every fifth was not promoted."""
    log = RunLog.open(path)
    for i in range(n_runs):
        at = now - timedelta(hours=n_runs - i)
        version = str(ModelVersion(i + 1, at))
        run_id = f"run{i:06d}" if model == "m" else f"{model}{i:06d}"
        log.add_run(
            Run(
                *(run_id, model, "new_records", "12 new records since the last run (trains at 10)"),
                *(version, i + 1, RunStatus.QUEUED, at),
            )
        )
        log.start_run(run_id, at, i)
        failed, promoted = i % 7 == 6, i % 5 != 4
        error = 1.5 + i % 10 * 0.02
        log.finish_run(
            run_id,
            at + timedelta(seconds=30),
            RunStatus.FAILED if failed else RunStatus.SUCCEEDED,
            promoted=promoted and not failed,
            verdict=None if failed else f"Error {error} pieces.",
            error="out of memory" if failed else None,
            details={} if failed else details(error, 1.6 if i else None),
        )
        kind = "failed" if failed else "promote" if promoted else "rejected"
        log.add_event(at, model, kind, f"{version}: what came of it", run_id=run_id)
    log.close()


def training(**changed: Any) -> TrainingReport:
    """How training stands, all well."""
    fields: dict[str, Any] = {
        "new_records": 7,
        "new_records_needed": 10,
        "last_run_id": None,
        "next_due": "after 3 more new records",
        "running_run_id": None,
        "stage": None,
        "progress": None,
        "error": None,
        "hold": False,
        "n_usable_records": 100,
        "sources": [],
        **changed,
    }
    return TrainingReport(**fields)


def source(now: datetime, **changed: Any) -> SourceReport:
    fields: dict[str, Any] = {
        "source": "shop",
        "stream": "orders",
        "state": "ok",
        "sentence": "up to date",
        "since": now,
        "last_read_at": now,
        "billed_reads_today": 120,
        "daily_read_budget": 1000,
        "n_records": 100,
        "n_without_cursor_field": 0,
        **changed,
    }
    return SourceReport(**fields)


def write_retrain_report(
    reports_dir: Path, now: datetime, models: dict[str, TrainingReport]
) -> None:
    """As if this process were the retrain daemon."""
    reports_dir.mkdir(parents=True, exist_ok=True)
    report = RetrainReport(
        host=socket.gethostname(), pid=os.getpid(), started_at=now, updated_at=now, models=models
    )
    write_struct(reports_dir / RETRAIN_REPORT_NAME, report)
