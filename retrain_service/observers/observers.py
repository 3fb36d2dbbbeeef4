"""What follows from what the log says: people are told, MLflow is kept up, old things go.

The loop calls `look` once a tick. Whatever goes wrong here is logged and never stops the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from retrain_service.backoff import Pause
from retrain_service.maintenance import retention
from retrain_service.observers import mlflow_exporter, mongodb_exporter
from retrain_service.observers.notifications import Notifier
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
            SettingsInvalid: [notify] or [mirror] names an address that cannot be used.
        """
        self._settings = settings
        self._run_log = run_log
        self._notifier = Notifier(settings.notify)
        self._metrics = TrainingMetricsExporter(
            settings.reports_dir, run_log, settings.models, lambda: self._notifier.counts
        )
        self._mirror = mlflow_exporter.open_sink(settings.home, settings.run_log_path)
        self._documents = mongodb_exporter.open_mirror(
            settings.mirror, settings.home, settings.run_log_path
        )
        self._workers = ServingEventReader(settings.reports_dir, run_log)
        self._seen_seq = run_log.last_event_seq()
        self._pause: Pause | None = None
        self._troubles: dict[str, str] = {}

    def look(self, now: datetime) -> None:
        """Look at what is new; each hour, forget what is old. What fails holds up nothing else."""
        self._attempt("workers", lambda: self._workers.look(now))
        self._attempt("notify", self._tell)
        self._attempt("metrics", self._metrics.look)  # before anything of the log is forgotten
        if self._pause is None or self._pause.is_over(now):
            self._pause = Pause(now, PRUNE_PERIOD)
            self._attempt("retention", lambda: self.prune(now))

    def _tell(self) -> None:
        for event in self._run_log.events(after=self._seen_seq):
            self._seen_seq = event.seq
            self._notifier.tell(event)

    def prune(self, now: datetime, request_id: str | None = None) -> None:
        """Forget what is old, and write down what went, for the one who asked in any case."""
        try:
            retention.prune(self._settings, self._run_log, now, request_id)
        except HotfitError as error:
            sentence = f"prune refused: {error}"
            self._run_log.add_event(
                now, "", "refusal", sentence, details={"request_id": request_id}
            )

    def close(self) -> None:
        """Tell what is left to tell, for a few seconds at most."""
        self._attempt("notify", self._tell)
        self._notifier.close()
        self._attempt("metrics", self._metrics.look)
        if self._mirror is not None:
            self._mirror.close()
        if self._documents is not None:
            self._documents.close()

    def _attempt(self, name: str, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            sentence = f"{name}: {type(error).__name__}: {error}"
            if self._troubles.get(name) != sentence:  # once per trouble, not once per tick
                self._troubles[name] = sentence
                log.warning("onlookers", sentence=sentence, exc_info=error)
        else:
            self._troubles.pop(name, None)
