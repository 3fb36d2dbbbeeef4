"""Build the table of runs, and the page of one run with the values of its gates. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api_service.console.formatting import main_metric
from api_service.console.views.home import model_url, pager
from api_service.web.public_path import public_path
from shared.run_log.run import Run, RunStatus
from shared.run_log.view import run_record
from shared.versions.model_names import full_name

A_PAGE = 50

TONES = {
    RunStatus.SUCCEEDED: "good",
    RunStatus.FAILED: "bad",
    RunStatus.ABANDONED: "bad",
    RunStatus.RUNNING: "busy",
    RunStatus.QUEUED: "busy",
}


def run_row(run: Run) -> dict[str, Any]:
    """A run as a line of a table."""
    record = run_record(run)
    return {
        **record,
        "model": run.model,
        "model_url": model_url(run.model),
        "url": public_path(f"/console/runs/{run.run_id}"),
        "outcome": _outcome(run),
        "tone": "plain" if _is_refused(run) else TONES.get(run.status, "plain"),
        "metric": main_metric(record["metrics"]),
        "said": run.error or run.verdict or run.trigger_reason,
    }


def _is_refused(run: Run) -> bool:
    return run.status is RunStatus.SUCCEEDED and not run.promoted


def _outcome(run: Run) -> str:
    if run.status is RunStatus.SUCCEEDED:
        return "promoted" if run.promoted else "not promoted"
    return run.status.value


def list_view(
    runs: Sequence[Run], total: int, models: Sequence[str], asked: Mapping[str, str], offset: int
) -> dict[str, Any]:
    """asked : the query, with model and status."""
    rest = {"model": asked.get("model", ""), "status": asked.get("status", "")}
    return {
        "runs": [run_row(run) for run in runs],
        "pager": pager("/console/runs", offset, A_PAGE, total, rest),
        "models": models,
        "statuses": [status.value for status in RunStatus],
        **rest,
    }


def run_view(run: Run, stored: Sequence[str]) -> dict[str, Any]:
    """One run. stored : versions of its model that are still there."""
    record = run_record(run)
    scores = {
        name: record[f"{key}metrics"] or {}
        for name, key in (("candidate", ""), ("champion", "champion_"), ("baseline", "baseline_"))
    }
    names = list(dict.fromkeys(metric for found in scores.values() for metric in found))
    return {
        **run_row(run),
        "model": full_name(record["model"], record["entity"] or ""),
        "gates": record["gates"] or [],
        "selection": record["selection"],
        "scores": [(name, [found.get(name) for found in scores.values()]) for name in names],
        "rejected": sorted((record["rejected_records"] or {}).items(), key=lambda one: -one[1]),
        "is_stored": run.version in stored,
    }
