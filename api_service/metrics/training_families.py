"""Convert the retrain daemon's report and counters into metric families. Values in, values out.

By configured model: what thousands of entities (devices, shops) have in common is one series.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from api_service.metrics.exposition import Families
from api_service.status.retrain_daemon import RetrainDaemon
from shared.exchange.retrain_report import SourceReport, TrainingReport
from shared.exchange.training_metrics import DURATION_BOUNDS_S, TrainingMetrics
from shared.versions.model_names import split_name

OUTCOMES = ("promoted", "rejected", "skipped", "failed", "cancelled", "abandoned")
_DOES_NOT_ANSWER = frozenset({"unavailable", "misconfigured"})


def add_training(
    families: Families, daemon: RetrainDaemon, counted: TrainingMetrics, now: datetime
) -> None:
    """Everything that is known of training; what a daemon said that is gone is left out."""
    families.add("hotfit_retrain_up", daemon.is_running)
    _add_counters(families, counted)
    report = daemon.report
    if report is None:
        return
    age_s = max(0.0, (now - report.updated_at).total_seconds())
    families.add("hotfit_retrain_heartbeat_age_seconds", age_s)
    if daemon.state == "not_running":
        return
    families.add("hotfit_retrain_troubled", report.error is not None)
    by_model: dict[str, list[TrainingReport]] = {}
    for name, training in report.models.items():
        by_model.setdefault(split_name(name)[0], []).append(training)
    for model, trainings in sorted(by_model.items()):
        _add_model(families, model, trainings, now)
    _add_sources(families, {model: each[0].sources for model, each in by_model.items()})


def _add_counters(families: Families, counted: TrainingMetrics) -> None:
    for model, trained in sorted(counted.models.items()):
        for outcome in OUTCOMES:
            # Zeros too: the growth of a series that begins with its first count is not seen.
            n = trained.runs.get(outcome, 0)
            families.add("hotfit_training_runs_total", n, model, outcome)
        for gate, n in sorted(trained.refusals.items()):
            families.add("hotfit_gate_refusals_total", n, model, gate)
        families.add_histogram(
            "hotfit_training_duration_seconds", DURATION_BOUNDS_S, trained.seconds, model
        )
        most = max(trained.failures_in_a_row.values(), default=0)
        families.add("hotfit_training_failures_in_a_row", most, model)
        if trained.last_success_at is not None:
            at = trained.last_success_at.timestamp()
            families.add("hotfit_training_last_success_timestamp_seconds", at, model)
    for outcome in ("sent", "failed", "dropped"):
        families.add("hotfit_notifications_total", counted.notifications.get(outcome, 0), outcome)


def _add_model(
    families: Families, model: str, trainings: list[TrainingReport], now: datetime
) -> None:
    def add(name: str, value: float) -> None:
        families.add(f"hotfit_{name}", value, model)

    add("training_running", sum(each.running_run_id is not None for each in trainings))
    add("training_pending_records", max(each.new_records for each in trainings))
    add("training_trigger_records", trainings[0].new_records_needed)
    add("training_held", any(each.hold for each in trainings))
    add("training_troubled", any(each.error is not None for each in trainings))
    buffer = trainings[0].buffer  # of the configured model, the same for all of its entities
    if buffer is None:
        return
    add("buffer_records", buffer.n_records)
    add("buffer_bytes", buffer.size_bytes)
    add("buffer_rejected_records", sum(buffer.rejected.values()))
    if buffer.newest is not None:
        add("source_lag_seconds", max(0.0, (now - buffer.newest).total_seconds()))


def _add_sources(families: Families, sources: dict[str, list[SourceReport]]) -> None:
    for model, reports in sorted(sources.items()):
        for each in reports:
            labels = (model, each.source, each.stream)
            families.add("hotfit_source_up", each.state not in _DOES_NOT_ANSWER, *labels)
            if each.last_read_at is not None:
                at = each.last_read_at.timestamp()
                families.add("hotfit_source_last_read_timestamp_seconds", at, *labels)
            if each.n_without_cursor_field is not None:
                n = each.n_without_cursor_field
                families.add("hotfit_source_unreadable_records", n, *labels)
    for source, same in _by_source(each for reports in sources.values() for each in reports):
        # Each report has the whole bill of its source; those looked at earlier have less of it.
        families.add(
            "hotfit_source_billed_reads", max(each.billed_reads_today for each in same), source
        )
        if budget := same[0].daily_read_budget:
            families.add("hotfit_source_read_budget", budget, source)


def _by_source(reports: Iterable[SourceReport]) -> list[tuple[str, list[SourceReport]]]:
    found: dict[str, list[SourceReport]] = {}
    for each in reports:
        found.setdefault(each.source, []).append(each)
    return sorted(found.items())
