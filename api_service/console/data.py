"""Read the data of a console page once: reports, signals, manifests and the run log.

All reading of a page is done here, while other requests go through; nothing is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from api_service.control.desired_version import signal_of
from api_service.metrics.traffic_history import TrafficHistory, read_traffic
from api_service.metrics.worker_file import read_sum
from api_service.metrics.worker_metrics import Sum
from api_service.status.health import HealthInputs, summarize
from api_service.status.rejected import list_rejected
from api_service.status.retrain_daemon import RetrainDaemon, look_at_retrain_daemon
from api_service.status.workers import live_reports
from api_service.web.yield_lock import yield_lock
from shared.errors import HotfitError, NotFound
from shared.exchange.rejected_records import RejectedRecords
from shared.exchange.reload_signal import ReloadSignal
from shared.exchange.retrain_report import TrainingReport
from shared.exchange.training_metrics import metrics_dir
from shared.exchange.worker_report import WorkerReport
from shared.run_log.reader import Event, reading
from shared.run_log.run import Run, RunStatus
from shared.versions.manifest import Manifest, read_manifest
from shared.versions.model_names import split_name

if TYPE_CHECKING:
    from api_service.context import Context
    from api_service.serving_slot import ServingSlot

RUNS_LOOKED_AT = 200
EVENTS_SHOWN = 30
SWAPS_LOOKED_AT = 160
"""Each worker writes one for each swap."""


@dataclass(frozen=True, slots=True)
class Reports:
    """What all processes say of themselves now."""

    now: datetime
    workers: Sequence[WorkerReport]
    retrain: RetrainDaemon
    expected_workers: int
    problems: Sequence[str] = ()

    def health(self, slots: Sequence[ServingSlot]) -> dict[str, Any]:
        """The answer of GET /health about these slots."""
        return summarize(
            HealthInputs(
                self.now,
                slots,
                self.workers,
                self.expected_workers,
                self.retrain,
                self.problems,
            )
        )

    def only(self, model: str) -> Reports:
        """The same with what is said of one model."""
        report = self.retrain.report
        if report is None:
            return self
        mine = {name: found for name, found in report.models.items() if name == model}
        about = type(report)(
            host=report.host,
            pid=report.pid,
            started_at=report.started_at,
            updated_at=report.updated_at,
            models=mine,
            error=report.error,
        )
        return replace(self, retrain=replace(self.retrain, report=about))

    def training(self, model: str) -> TrainingReport | None:
        report = self.retrain.report
        return report.models.get(model) if report is not None else None


@dataclass(frozen=True, slots=True)
class Past:
    """What the run log says. Runs newest first, events oldest first."""

    runs: Sequence[Run] = ()
    n_runs: int = 0
    events: Sequence[Event] = ()
    swaps: Sequence[Event] = ()


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Everything about one model.

    versions : stored, oldest first. traffic, traffic_history : of all models.
    """

    reports: Reports
    signal: ReloadSignal | None
    versions: Sequence[str]
    past: Past
    traffic: Sum
    traffic_history: TrafficHistory
    rejected: RejectedRecords | None = None


def read_reports(context: Context, environ: dict[str, Any]) -> Reports:
    config, now = context.config, context.clock()
    with yield_lock(environ):
        workers = live_reports(config.reports_dir)
        retrain = look_at_retrain_daemon(config.reports_dir, now)
    return Reports(now, workers, retrain, config.workers, context.problems())


def read_model(context: Context, environ: dict[str, Any], model: str) -> ModelFacts:
    reports = read_reports(context, environ)
    with yield_lock(environ):
        signal = signal_of(context, model)
        versions = context.store.versions(model)
        past = read_past(context, model)
        context.flush_metrics()
        traffic = read_sum(metrics_dir(context.config.reports_dir))
        traffic_history = read_traffic(metrics_dir(context.config.reports_dir))
        rejected = list_rejected(context.config.reports_dir, split_name(model)[0])
    return ModelFacts(reports, signal, versions, past, traffic, traffic_history, rejected)


def read_past(context: Context, model: str | None) -> Past:
    """Of one model, or of all. Nothing before the first start of the retrain daemon.

    Raises:
        StorageUnavailable: the log cannot be read now.
    """
    try:
        with reading(context.config.run_log_path) as log:
            runs, total = log.runs(model=model, limit=RUNS_LOOKED_AT if model else 10)
            events = log.events(model=model, limit=EVENTS_SHOWN, newest=True)
            swaps = (
                log.events(model=model, kind="swap", limit=SWAPS_LOOKED_AT, newest=True)
                if model
                else ()
            )
    except NotFound:
        return Past()
    return Past(runs, total, events, swaps)


def read_runs(
    context: Context, model: str | None, status: RunStatus | None, limit: int, offset: int
) -> tuple[Sequence[Run], int]:
    try:
        with reading(context.config.run_log_path) as log:
            return log.runs(model=model, status=status, limit=limit, offset=offset)
    except NotFound:
        return [], 0


def manifest_of(context: Context, model: str, version: str) -> Manifest | str:
    """The manifest of a stored version, unverified, for showing; or why it cannot be read."""
    try:
        return read_manifest(context.store.version_dir(model, version))[0]
    except HotfitError as error:
        return str(error)
