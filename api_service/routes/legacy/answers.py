"""Runs, versions and reports in the fields that existing clients read. Values in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from shared.errors import SettingsInvalid
from shared.exchange.retrain_report import BufferReport, TrainingReport
from shared.run_log.run import SUCCESS, UNFINISHED, RunStatus

_BYTES_A_MB = 1_000_000

OF_SERVERS: Mapping[str, str] = {
    RunStatus.SUCCEEDED: "completed",
    RunStatus.SKIPPED: "completed",
    RunStatus.ABANDONED: "failed",
}
"""How a run stands -> the word that such clients wait for, where it is another one."""


def triggered(
    run_id: str | None,
    status: str,
    message: str,
    words: Mapping[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The answer to whoever asked for a training."""
    has_failed = status in (RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.ABANDONED)
    return {
        "success": not has_failed,
        "job_id": run_id,
        "status": (words or {}).get(status, status),
        "message": message,
        "error": message if has_failed else None,
        **more,
    }


def job(run: Mapping[str, Any], report: TrainingReport | None = None) -> dict[str, Any]:
    """A run's record as a job; report : of its model, for the progress of a run under way."""
    share = run.get("progress")
    if share is None and report is not None and report.running_run_id == run["run_id"]:
        share = report.progress
    return {
        "job_id": run["run_id"],
        "model": run["model"],
        "status": OF_SERVERS.get(run["status"], run["status"]),
        "epochs": 1,
        "incremental": bool((run.get("options") or {}).get("incremental")),
        "progress_pct": round(100.0 * (share or 0.0), 1),
        "started_at": run.get("started_at"),
        "completed_at": run.get("finished_at"),
        "duration_seconds": run.get("duration_s"),
        "model_path": run.get("model_path"),
        "error": run.get("error"),
    }


def device_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run's record in the names of the collection `model_runs`."""
    metrics: Mapping[str, Any] = run.get("metrics") or {}
    return {
        "run_id": run["run_id"],
        "model": run["model"],
        "device_id": (run.get("details") or {}).get("entity_id") or run.get("entity"),
        "version": run.get("version"),
        "trigger": run.get("trigger"),
        "trained_at": run.get("finished_at"),
        "days_used": run.get("days"),
        "rows_used": run.get("rows"),
        "mae": metrics.get("mae"),
        "rmse": metrics.get("rmse"),
        "r2": metrics.get("r2"),
        "train_samples": run.get("train_rows"),
        "test_samples": run.get("test_rows"),
        "features": _features(run.get("workload"), run.get("parameters")),
        "model_path": run.get("model_path"),
        "status": SUCCESS.get(run["status"], run["status"]),
        "verdict": run.get("verdict"),
        "error": run.get("error"),
        "promoted": run.get("promoted"),
    }


def training_stats(
    totals: Mapping[str, Any],
    current: Mapping[str, Any] | None,
    report: TrainingReport | None,
    sentence: str,
    config: Mapping[str, Any],
) -> dict[str, Any]:
    """How training stands; sentence : how the retrain daemon is, where there is no report."""
    last = totals["last"]
    return {
        "current_job": job(current, report) if current and _is_open(current) else None,
        "history": {
            "total_trainings": totals["total"],
            "successful": totals.get(RunStatus.SUCCEEDED, 0),
            "failed": totals.get(RunStatus.FAILED, 0),
            "last_training": (last["finished_at"] or last["requested_at"]) if last else None,
        },
        "data_buffer": _buffer(report.buffer if report else None),
        "ready_to_train": report.is_ready if report else False,
        "ready_reason": (report.ready_reason if report else "") or sentence,
        "config": {
            **config,
            "next_due": report.next_due if report else None,
            "new_records": report.new_records if report else None,
            "new_records_needed": report.new_records_needed if report else None,
        },
    }


def _is_open(run: Mapping[str, Any]) -> bool:
    return run["status"] in UNFINISHED


def _buffer(found: BufferReport | None) -> dict[str, Any]:
    return {
        "total_records": found.n_records if found else 0,
        "file_count": found.n_files if found else 0,
        "date_range": {
            "start": found.oldest if found else None,
            "end": found.newest if found else None,
        },
        "disk_usage_mb": round(found.size_bytes / _BYTES_A_MB, 3) if found else 0.0,
    }


def _features(workload: str | None, parameters: Mapping[str, Any] | None) -> list[str] | None:
    """Names of the columns; None when the run ended before it was known what it trains."""
    if workload is None:
        return None
    return _names_of_features(workload, msgspec.json.encode(parameters or {}, order="sorted"))


@cache
def _names_of_features(workload: str, parameters: bytes) -> list[str] | None:
    from shared.workloads import open_workload

    try:
        return [
            spec.name for spec in open_workload(workload, msgspec.json.decode(parameters)).features
        ]
    except SettingsInvalid:  # the workload of an older release
        return None
