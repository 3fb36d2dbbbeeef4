"""Build the page of one model: its serving version, data age, next training, scores and actions.

Values in, a view out; reads manifests of the versions it shows and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from api_service.console.data import ModelFacts
from api_service.console.views import (
    error_history,
    swap_history,
    traffic_by_version,
    traffic_history,
)
from api_service.console.views.home import (
    WELL_SOURCES,
    headline,
    model_url,
    nobody_trains,
    offset_of,
    pager,
)
from api_service.console.views.runs import run_row
from api_service.console.views.timeline import lines
from api_service.serving_slot import ServingSlot
from api_service.status.models import model_entry
from api_service.status.versions import version_lines
from shared.exchange.retrain_report import SourceReport, TrainingReport
from shared.run_log.run import RunStatus
from shared.versions.manifest import Manifest
from shared.versions.model_names import split_name

VERSIONS_A_PAGE = 20
RUNS_SHOWN = 10
REJECTED_SHOWN = 20

ReadManifest = Callable[[str], Manifest | str]


def view(
    slot: ServingSlot, facts: ModelFacts, read_manifest: ReadManifest, asked: Mapping[str, str]
) -> dict[str, Any]:
    """asked : the query, with versions_from and over (the period of the traffic)."""
    name, reports = slot.name, facts.reports.only(slot.name)
    workers = [report for report in reports.workers if name in report.models]
    health = reports.health([slot])
    live = slot.live
    entry = model_entry(slot, reports.workers, reports.now, facts.signal)
    if live is None and slot.is_idle and facts.signal is not None:
        entry |= _of_closed(read_manifest(facts.signal.version))
    training = reports.training(name)
    return {
        **headline(health),
        "name": name,
        "entry": entry,
        "is_idle": slot.is_idle,
        "not_ready_reason": slot.not_ready_reason if live is None else None,
        "workload": live.manifest.workload if live else None,
        "metric_unit": live.manifest.metric_unit if live else "",
        "signal": facts.signal,
        "training": training,
        "nobody_trains": nobody_trains(health),
        "count_share": _share(training),
        "sources": [_source(one) for one in training.sources] if training else [],
        **_rejected(name, facts),
        "workers": [(report, report.models[name]) for report in workers],
        "errors": error_history.picture(facts.past.runs),
        "traffic_history": traffic_history.view(
            facts.traffic_history, name, facts.past.swaps, asked.get("over", "")
        ),
        "periods": traffic_history.PERIODS,
        "traffic": traffic_by_version.picture(facts.traffic, name),
        "swaps": swap_history.picture(facts.past.swaps),
        "events": lines(facts.past.events),
        "runs": [run_row(run) for run in facts.past.runs[:RUNS_SHOWN]],
        "n_runs": facts.past.n_runs,
        "stored": list(reversed(facts.versions)),
        **_versions(slot, facts, read_manifest, asked),
        "now": reports.now,
    }


def _of_closed(manifest: Manifest | str) -> dict[str, Any]:
    """What is known of a version that nobody has opened."""
    if isinstance(manifest, str):
        return {}
    return {
        "trained_at": manifest.trained_at,
        "watermark": manifest.watermark.newest_record_at,
        "fitted_until": manifest.fitted_until,
        "candidate": manifest.candidate,
    }


def _versions(
    slot: ServingSlot, facts: ModelFacts, read_manifest: ReadManifest, asked: Mapping[str, str]
) -> dict[str, Any]:
    rejected = {
        run.version: run.verdict or "not promoted"
        for run in facts.past.runs
        if run.status is RunStatus.SUCCEEDED and not run.promoted
    }
    found = version_lines(slot.name, facts.versions, rejected, facts.signal, facts.reports.workers)
    offset = min(offset_of(asked, "versions_from"), max(len(found) - 1, 0))
    stored = set(facts.versions)
    rows = []
    for line in found[offset : offset + VERSIONS_A_PAGE]:
        manifest = read_manifest(line.version) if line.version in stored else None
        is_known = isinstance(manifest, Manifest)
        rows.append(
            {
                "line": line,
                "is_stored": line.version in stored,
                "manifest": manifest if is_known else None,
                "size_bytes": _size(manifest) if isinstance(manifest, Manifest) else None,
                "problem": manifest if isinstance(manifest, str) else None,
            }
        )
    versions = list(facts.versions)
    newer, older = (versions[-1], versions[-2]) if len(versions) > 1 else (None, None)
    if facts.signal is not None and facts.signal.previous in stored:
        newer, older = facts.signal.version, facts.signal.previous
    return {
        "versions": rows,
        "versions_pager": pager(
            model_url(slot.name), offset, VERSIONS_A_PAGE, len(found), {}, "versions_from"
        ),
        "compare_new": newer,
        "compare_old": older,
    }


def _size(manifest: Manifest) -> int:
    return sum(entry.size_bytes for entry in manifest.files.values())


def _share(training: TrainingReport | None) -> float | None:
    """How far the count is, 0 to 1; None where no number of records starts a run."""
    if training is None or not training.new_records_needed:
        return None
    return min(training.new_records / training.new_records_needed, 1.0)


def _rejected(name: str, facts: ModelFacts) -> dict[str, Any]:
    """The newest records that cannot be used, and how many there are of each reason."""
    listed = facts.rejected
    if listed is None:
        return {"rejected": [], "rejected_counts": []}
    return {
        "rejected": [
            (
                one.id,
                one.stream,
                one.reason,
                one.field or "",
                one.value or ("is missing" if one.field else ""),
                f"{one.updated_at:%Y-%m-%d %H:%M}",
            )
            for one in listed.matching(split_name(name)[1])[:REJECTED_SHOWN]
        ],
        "rejected_counts": listed.counts,
    }


def _source(report: SourceReport) -> dict[str, Any]:
    budget = report.daily_read_budget
    return {
        "report": report,
        "is_well": report.state in WELL_SOURCES,
        "share": min(report.billed_reads_today / budget, 1.0) if budget else None,
    }
