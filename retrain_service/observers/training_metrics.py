"""Count outcomes of runs from the run log's events into a metrics file that the API exposes.

The file holds the number of the last event that is counted in it: a restart or a crash counts
nothing twice and leaves nothing out. Only the loop's thread calls this. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from shared.atomic_file import write_atomic
from shared.errors import NotFound
from shared.exchange.training_metrics import (
    DURATION_BOUNDS_S,
    TRAINING_METRICS_NAME,
    ModelTrainings,
    metrics_dir,
    read_training_metrics,
)
from shared.run_log.reader import Event
from shared.run_log.run import Run
from shared.run_log.writer import RunLog
from shared.versions.model_names import split_name

OUTCOME_OF_EVENT: Mapping[str, str] = {
    "promote": "promoted",
    "baseline": "promoted",
    "reject": "rejected",
    "skipped": "skipped",
    "failed": "failed",
    "cancelled": "cancelled",
    "abandoned": "abandoned",
    "abandon": "abandoned",  # by the next start, of a daemon that died
}
_VERDICTS = frozenset({"promoted", "rejected", "skipped"})
_STOPPED = frozenset({"failed", "insufficient_data"})
_A_PAGE = 1000


class TrainingMetricsExporter:
    """Keeps `reports/metrics/retrain.json` up to date.

    Args:
        models: the configured models, which are told of also before their first run.
        notified: outcome -> messages to people since this process started.
    """

    def __init__(
        self,
        reports_dir: Path,
        run_log: RunLog,
        models: Iterable[str],
        notified: Callable[[], Mapping[str, int]],
    ) -> None:
        self._run_log = run_log
        self._path = metrics_dir(reports_dir) / TRAINING_METRICS_NAME
        self._metrics = read_training_metrics(reports_dir)
        for model in models:
            self._metrics.models.setdefault(model, ModelTrainings())
        self._notified = notified
        self._notified_before = dict(self._metrics.notifications)
        if self._metrics.last_seq > run_log.last_event_seq():
            self._metrics.last_seq = 0  # the log was begun anew; what was counted stays
        self._written: bytes | None = None

    def update(self) -> None:
        """Count what is new in the log and write it down when there was something.

        Raises:
            StorageUnavailable: it could not be written; the next look tries again.
        """
        for event in self._run_log.events(after=self._metrics.last_seq, limit=_A_PAGE):
            self._count(event)
            self._metrics.last_seq = event.seq
        before = self._notified_before
        for outcome, n in self._notified().items():
            self._metrics.notifications[outcome] = before.get(outcome, 0) + n
        content = msgspec.json.encode(self._metrics)
        if content != self._written:
            write_atomic(self._path, content)
            self._written = content

    def _count(self, event: Event) -> None:
        outcome = OUTCOME_OF_EVENT.get(event.kind)
        if outcome is None or event.run_id is None:
            return
        model = self._metrics.models.setdefault(split_name(event.model)[0], ModelTrainings())
        model.runs[outcome] = model.runs.get(outcome, 0) + 1
        in_a_row = model.failures_in_a_row
        if outcome == "failed":
            in_a_row[event.model] = in_a_row.get(event.model, 0) + 1
        elif outcome in _VERDICTS:
            in_a_row.pop(event.model, None)
            model.last_success_at = event.at
        try:
            run = self._run_log.run(event.run_id)
        except NotFound:  # taken out of the log since
            return
        if run.started_at is not None and run.finished_at is not None and outcome != "skipped":
            took_s = (run.finished_at - run.started_at).total_seconds()
            model.seconds.add(max(0.0, took_s), DURATION_BOUNDS_S)
        gate = _stopped_by(run)
        if outcome == "rejected" and gate is not None:
            model.refusals[gate] = model.refusals.get(gate, 0) + 1


def _stopped_by(run: Run) -> str | None:
    """The gate that stopped the run's version; None when none did: it was held, say."""
    for gate in run.details.get("gates") or ():
        if gate.get("verdict") in _STOPPED:
            return str(gate.get("gate"))
    return None
