"""Side effects after each tick: notifications, exporters, metrics and the hourly pruning.

An error here is logged once and never stops the loop. Knows events, not how a run is made. Only the
loop's thread calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from retrain_service.backoff import Pause
from retrain_service.home import read_store
from retrain_service.maintenance import retention
from retrain_service.observers import mlflow_exporter, mongodb_exporter
from retrain_service.observers.notifications import Notifier
from retrain_service.observers.pointer_file import PointerFiles
from retrain_service.observers.serving_events import ServingEventReader
from retrain_service.observers.training_metrics import TrainingMetricsExporter
from shared.errors import HotfitError
from shared.run_log.writer import RunLog
from shared.settings.root import Settings

log = structlog.get_logger()

PRUNE_PERIOD = timedelta(hours=1)


class Observers:
    """Opened with the run log, before anything is written to it; closed before it."""

    def __init__(self, settings: Settings, run_log: RunLog) -> None:
        """Start what the settings ask for.

        Raises:
            SettingsInvalid: [notify] or [run_export.mongodb] names an address that cannot be used.
        """
        self._settings = settings
        self._run_log = run_log
        self._notifier = Notifier(settings.notify)
        self._metrics = TrainingMetricsExporter(
            settings.reports_dir, run_log, settings.models, lambda: self._notifier.counts
        )
        self._mlflow_exporter = mlflow_exporter.open_sink(settings.home, settings.run_log_path)
        self._mongodb_exporter = mongodb_exporter.open_sink(
            settings.run_export.mongodb, settings.home, settings.run_log_path
        )
        self._pointer_files = PointerFiles(read_store(settings), settings.run_export.pointer_file)
        self._serving_events = ServingEventReader(settings.reports_dir, run_log)
        self._seen_seq = run_log.last_event_seq()
        self._pause: Pause | None = None
        self._failures: dict[str, str] = {}

    def process_events(self, now: datetime) -> None:
        """Process new events; once an hour, prune. A step that fails stops no other step."""
        self._attempt("workers", lambda: self._serving_events.poll_reports(now))
        self._attempt("pointer_file", self._pointer_files.update)
        self._attempt("notify", self._notify)
        self._attempt("metrics", self._metrics.update)  # before anything of the log is forgotten
        if self._pause is None or self._pause.is_over(now):
            self._pause = Pause(now, PRUNE_PERIOD)
            self._attempt("retention", lambda: self.prune(now))

    def _notify(self) -> None:
        for event in self._run_log.events(after=self._seen_seq):
            self._seen_seq = event.seq
            self._notifier.send(event)

    def prune(self, now: datetime, request_id: str | None = None) -> None:
        """Prune old versions, runs and events; with `request_id`, always log what was removed."""
        try:
            retention.prune(self._settings, self._run_log, now, request_id)
        except HotfitError as error:
            sentence = f"prune refused: {error}"
            self._run_log.add_event(
                now, "", "refusal", sentence, details={"request_id": request_id}
            )

    def close(self) -> None:
        """Deliver what is still queued, within a few seconds, and end the threads."""
        self._attempt("notify", self._notify)
        self._notifier.close()
        self._attempt("metrics", self._metrics.update)
        if self._mlflow_exporter is not None:
            self._mlflow_exporter.close()
        if self._mongodb_exporter is not None:
            self._mongodb_exporter.close()

    def _attempt(self, name: str, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            sentence = f"{name}: {type(error).__name__}: {error}"
            if self._failures.get(name) != sentence:  # once per failure, not once per tick
                self._failures[name] = sentence
                log.warning("observer_failed", sentence=sentence, exc_info=error)
        else:
            self._failures.pop(name, None)
