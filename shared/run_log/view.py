"""Make the flat record of a run that every command and every route shows.

Values in, JSON values out. What is not known yet is there and None.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.run_log.run import FINISHED, UNFINISHED, Run, RunStatus
from shared.versions.model_names import split_name

IN_A_LIST = (
    "run_id",
    "model",
    "entity",
    "version",
    "trigger",
    "trigger_reason",
    "status",
    "stage",
    "progress",
    "requested_at",
    "started_at",
    "finished_at",
    "duration_s",
    "rows",
    "days",
    "promoted",
    "verdict",
    "error",
)
"""The fields of a list of runs; the rest is shown with one run."""


def run_record(
    run: Run, *, stage: str | None = None, progress: float | None = None
) -> dict[str, Any]:
    """All that is known of a run. Times are UTC in RFC 3339, durations in seconds.

    Args:
        stage, progress: how far the retrain daemon's report says it is (0..1), while it runs.

    `metrics` are the candidate's on the newest rows that it was not trained on; `champion_metrics`
    and `baseline_metrics` are on the same rows; `model_path` is relative to the home directory.
    """
    details = run.details
    model, entity = split_name(run.model)
    scores: Mapping[str, Any] = details.get("metrics") or {}
    is_over = run.status not in UNFINISHED
    return {
        "run_id": run.run_id,
        "model": model,
        "entity": entity or None,
        "version": run.version,
        "trigger": run.trigger,
        "trigger_reason": run.trigger_reason,
        "status": run.status.value,
        "stage": None if is_over else stage or run.status.value,
        "progress": _progress(run, progress),
        "requested_at": _text(run.requested_at),
        "started_at": _text(run.started_at),
        "finished_at": _text(run.finished_at),
        "duration_s": _duration_s(run),
        "fit_s": details.get("fit_s"),
        "refit_s": details.get("refit_s"),
        "records": details.get("records"),
        "rejected_records": details.get("rejected_records"),
        "rows": details.get("rows"),
        "days": details.get("days"),
        "train_rows": details.get("train_rows"),
        "test_rows": details.get("test_rows"),
        "snapshot_digest": details.get("snapshot_digest"),
        "high_seq": run.high_seq,
        "is_retry": details.get("is_retry"),
        "incremental": details.get("incremental"),
        "candidate": details.get("candidate"),
        "selection": details.get("selection"),
        "metrics": scores.get("candidate"),
        "metric_unit": details.get("metric_unit"),
        "champion_metrics": scores.get("champion"),
        "baseline_metrics": scores.get("baseline"),
        "gates": details.get("gates"),
        "workload": details.get("workload"),
        "parameters": details.get("parameters"),
        "seed": details.get("seed"),
        "options": details.get("options"),
        "libraries": details.get("libraries"),
        "model_path": f"models/{run.model}/versions/{run.version}" if run.promoted else None,
        "promoted": run.promoted if is_over else None,
        "verdict": run.verdict,
        "error": run.error,
        "details": {key: value for key, value in details.items() if key not in _SHOWN_ABOVE},
    }


def run_line(
    run: Run, *, stage: str | None = None, progress: float | None = None
) -> dict[str, Any]:
    """The part of a run's record that a list shows."""
    record = run_record(run, stage=stage, progress=progress)
    return {name: record[name] for name in IN_A_LIST}


_SHOWN_ABOVE = frozenset(
    {
        "candidate",
        "selection",
        "fit_s",
        "refit_s",
        "records",
        "rejected_records",
        "rows",
        "days",
        "train_rows",
        "test_rows",
        "snapshot_digest",
        "is_retry",
        "incremental",
        "metrics",
        "metric_unit",
        "gates",
        "workload",
        "parameters",
        "seed",
        "options",
        "libraries",
    }
)


def _progress(run: Run, reported: float | None) -> float | None:
    if run.status in FINISHED:
        return 1.0
    if run.status is RunStatus.QUEUED:
        return 0.0
    return reported if run.status is RunStatus.RUNNING else None


def _duration_s(run: Run) -> float | None:
    if run.started_at is None or run.finished_at is None:
        return None
    return round((run.finished_at - run.started_at).total_seconds(), 3)


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
