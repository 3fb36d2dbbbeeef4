"""The definitions of all Prometheus metrics: name, kind, labels and help text. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """What a metric is; a counter's name ends in _total, a number's name in its unit."""

    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


_COUNTER: Literal["counter"] = "counter"
_GAUGE: Literal["gauge"] = "gauge"
_HISTOGRAM: Literal["histogram"] = "histogram"

SERVING: Mapping[str, MetricSpec] = {
    "hotfit_build_info": MetricSpec(_GAUGE, ("version", "python"), "Always 1; what runs."),
    "hotfit_requests_total": MetricSpec(
        _COUNTER,
        ("model", "version", "route", "status"),
        "Requests answered, by all workers of this host since they first started.",
    ),
    "hotfit_request_duration_seconds": MetricSpec(
        _HISTOGRAM,
        ("model", "version"),
        "Time from taking a request to its answer; without a model: of all other routes.",
    ),
    "hotfit_requests_in_flight": MetricSpec(
        _GAUGE,
        (),
        "Requests begun and not answered, this scrape among them; other workers' as of a"
        " second ago.",
    ),
    "hotfit_predictions_total": MetricSpec(
        _COUNTER, ("model", "version"), "Predictions given: rows of predict, answers otherwise."
    ),
    "hotfit_swaps_total": MetricSpec(
        _COUNTER,
        ("model", "outcome"),
        "Openings of versions by workers: opened (the first one), switched, quarantined,"
        " try_later (not possible yet, counted once per reason).",
    ),
    "hotfit_swap_stage_duration_seconds": MetricSpec(
        _HISTOGRAM, ("stage",), "Time that each stage of a swap took in a worker."
    ),
    "hotfit_swap_p99_seconds": MetricSpec(
        _GAUGE,
        ("model", "window"),
        "99th percentile of latency in the 10 s before and after the last swap.",
    ),
    "hotfit_swap_failed_requests_total": MetricSpec(
        _COUNTER,
        (),
        "Requests answered 5xx between the opening of a version and the end of the one before.",
    ),
    "hotfit_model_info": MetricSpec(
        _GAUGE, ("model", "version"), "1 for the version that serves with the highest generation."
    ),
    "hotfit_model_generation": MetricSpec(
        _GAUGE, ("model",), "Highest generation that a worker serves."
    ),
    "hotfit_model_workers": MetricSpec(
        _GAUGE, ("model",), "Workers that serve the version of hotfit_model_info."
    ),
    "hotfit_model_data_age_seconds": MetricSpec(
        _GAUGE, ("model",), "Age of the newest record that the serving version knows."
    ),
    "hotfit_model_trained_age_seconds": MetricSpec(
        _GAUGE, ("model",), "Time since the serving version was trained."
    ),
    "hotfit_model_degraded": MetricSpec(
        _GAUGE, ("model",), "1 when a worker does not serve the desired version."
    ),
    "hotfit_model_quarantined": MetricSpec(
        _GAUGE, ("model",), "1 when a worker has quarantined the desired version."
    ),
    "hotfit_models": MetricSpec(
        _GAUGE,
        ("state",),
        "Models by state, in the worker that has most of them: registered, loaded, degraded,"
        " quarantined.",
    ),
    "hotfit_oldest_data_age_seconds": MetricSpec(
        _GAUGE, (), "Age of the newest record of the model that knows the oldest data, of all."
    ),
    "hotfit_workers_expected": MetricSpec(_GAUGE, (), "Workers that should run."),
    "hotfit_workers_running": MetricSpec(_GAUGE, (), "Workers that run."),
    "hotfit_logged_predictions_total": MetricSpec(
        _COUNTER,
        ("outcome",),
        "Answers of the prediction log's sample: written; dropped (the disk is full, or the writer"
        " is behind); too_large (above 1 MB).",
    ),
    "hotfit_worker_starts_total": MetricSpec(_COUNTER, (), "Workers started."),
    "hotfit_worker_deaths_total": MetricSpec(
        _COUNTER, (), "Workers that ended without being asked to; each was replaced."
    ),
    "hotfit_worker_memory_bytes": MetricSpec(_GAUGE, ("pid",), "Resident memory of a worker."),
    "hotfit_worker_watcher_up": MetricSpec(
        _GAUGE, ("pid",), "1 when directory events reach the worker; without, a timer looks."
    ),
    "hotfit_worker_heartbeat_age_seconds": MetricSpec(
        _GAUGE, ("pid",), "Time since a worker wrote its metrics."
    ),
}

TRAINING: Mapping[str, MetricSpec] = {
    "hotfit_retrain_up": MetricSpec(
        _GAUGE, (), "1 when the retrain daemon runs and reports, 0 when it is gone or silent."
    ),
    "hotfit_retrain_heartbeat_age_seconds": MetricSpec(
        _GAUGE, (), "Time since the retrain daemon reported."
    ),
    "hotfit_retrain_troubled": MetricSpec(
        _GAUGE, (), "1 when the retrain daemon's loop meets an error that it did not expect."
    ),
    "hotfit_training_runs_total": MetricSpec(
        _COUNTER,
        ("model", "outcome"),
        "Training runs that ended: promoted, rejected, skipped, failed, cancelled, abandoned.",
    ),
    "hotfit_training_duration_seconds": MetricSpec(
        _HISTOGRAM, ("model",), "Time that runs took, from the start of training to the verdict."
    ),
    "hotfit_training_last_success_timestamp_seconds": MetricSpec(
        _GAUGE, ("model",), "When a run last came to a verdict, in seconds since 1970."
    ),
    "hotfit_training_failures_in_a_row": MetricSpec(
        _GAUGE, ("model",), "Runs that failed since the last verdict; of entities the most."
    ),
    "hotfit_training_running": MetricSpec(_GAUGE, ("model",), "Runs under way or queued."),
    "hotfit_training_pending_records": MetricSpec(
        _GAUGE, ("model",), "New records since the last finished run; of entities the most."
    ),
    "hotfit_training_trigger_records": MetricSpec(
        _GAUGE, ("model",), "New records that start a run."
    ),
    "hotfit_training_held": MetricSpec(
        _GAUGE, ("model",), "1 when the served version is held, so that none is promoted."
    ),
    "hotfit_training_troubled": MetricSpec(
        _GAUGE, ("model",), "1 when reading or deciding fails for this model."
    ),
    "hotfit_gate_refusals_total": MetricSpec(
        _COUNTER, ("model", "gate"), "Runs that a gate stopped before promotion."
    ),
    "hotfit_source_up": MetricSpec(
        _GAUGE, ("model", "source", "stream"), "1 when the source answers as configured."
    ),
    "hotfit_source_last_read_timestamp_seconds": MetricSpec(
        _GAUGE, ("model", "source", "stream"), "When the source last answered, since 1970."
    ),
    "hotfit_source_unreadable_records": MetricSpec(
        _GAUGE,
        ("model", "source", "stream"),
        "Records without the field that orders them, which are never read.",
    ),
    "hotfit_source_lag_seconds": MetricSpec(
        _GAUGE, ("model",), "Age of the newest record in the local copy."
    ),
    "hotfit_source_billed_reads": MetricSpec(
        _GAUGE, ("source",), "Billed reads of this UTC day; falls to 0 at midnight UTC."
    ),
    "hotfit_source_read_budget": MetricSpec(
        _GAUGE, ("source",), "Billed reads allowed a day; absent where there is no budget."
    ),
    "hotfit_buffer_records": MetricSpec(_GAUGE, ("model",), "Records in the local copy."),
    "hotfit_buffer_bytes": MetricSpec(_GAUGE, ("model",), "Size of the local copy on disk."),
    "hotfit_buffer_rejected_records": MetricSpec(
        _GAUGE, ("model",), "Records in the local copy that cannot be learnt from."
    ),
    "hotfit_notifications_total": MetricSpec(
        _COUNTER, ("outcome",), "Messages to people: sent, failed, dropped."
    ),
}

METRICS: Mapping[str, MetricSpec] = {**SERVING, **TRAINING}
