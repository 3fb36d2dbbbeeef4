"""Write a worker's counters to its metrics file about once a second.

Any thread may call `flush`. Knows no exposition format.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec
import structlog

from api_service.metrics.recorder import OTHER, Recorder
from api_service.metrics.swaps import SwapMetrics
from api_service.metrics.worker_file import host_of, read_sum, worker_path
from api_service.metrics.worker_metrics import Counted, WorkerMetrics, series_of
from api_service.serving_slot import ServingTable
from shared.daemon.background import BackgroundThread, run_in_background
from shared.daemon.loop import utc_now
from shared.daemon.memory import rss_bytes
from shared.exchange.json_files import write_unsynced
from shared.exchange.worker_report import ServingReport, WatcherReport

log = structlog.get_logger()

PERIOD_S = 1.0
_BEATS_WITHIN_S = 3.0


class MetricsWriter:
    """One worker's metrics file.

    Args:
        watcher: how directory events are, asked at each flush.
        configured: models with series of their own before their first request.
    """

    def __init__(
        self,
        directory: Path,
        table: ServingTable,
        watcher: Callable[[], WatcherReport],
        *,
        configured: Iterable[str] = (),
    ) -> None:
        self.recorder = Recorder()
        self.recorder.admit(configured)
        self._swaps = SwapMetrics(self.recorder, table)
        self._directory = directory
        self._watcher = watcher
        self._started_at = utc_now()
        self._path = worker_path(directory, os.getpid(), self._started_at)
        self._writing = threading.Lock()
        self._written: WorkerMetrics | None = None
        self._written_s = 0.0
        self.error: str | None = None
        """Why the file was not written the last time; None when it was."""
        self.logged_predictions: Mapping[str, int] = {}
        """Outcome -> answers of the prediction log, counted by whoever keeps that."""
        self._has_ended = False

    def start(self, stop: threading.Event) -> BackgroundThread:
        """Flush about each second until `stop` is set."""
        known = read_sum(self._directory)
        # The same models as the other workers, or the number of series grows with each worker.
        self.recorder.admit(model for model, _, _, _ in known.cells if model != OTHER)
        self.flush()

        def beat() -> None:
            self.flush()
            stop.wait(PERIOD_S)

        return run_in_background("metrics", beat, stop)

    def look_at(self, reports: Mapping[str, ServingReport]) -> None:
        """Count what is new since the reports before. The reload thread calls at every change."""
        self._swaps.look_at(reports)

    def end(self) -> None:
        """Write the last of it: this worker ends as it was asked to."""
        with self._writing:
            self._has_ended = True
        self.flush()

    def flush(self) -> None:
        """Bring the file up to date. A full disk is told once and never stops the caller."""
        with self._writing:
            now = time.monotonic()
            metrics = self._metrics()
            is_due = self._has_ended or now - self._written_s >= _BEATS_WITHIN_S
            if not is_due and _same(metrics, self._written):
                return
            try:
                self._directory.mkdir(parents=True, exist_ok=True)
                write_unsynced(self._path, msgspec.msgpack.encode(metrics))
            except OSError as error:
                if str(error) != self.error:
                    log.warning("metrics_not_written", reason=str(error))
                self.error = str(error)
                return
            self._written, self._written_s, self.error = metrics, now, None

    def _metrics(self) -> WorkerMetrics:
        cells = self.recorder.cells()
        seen, watcher = self._swaps.seen(cells), self._watcher()
        self.recorder.forget_old_versions(
            {
                name: {served.version, served.previous or served.version}
                for name, served in seen.served.items()
            }
        )
        return WorkerMetrics(
            id=self._path.stem,
            host=host_of(self._path),
            pid=os.getpid(),
            started_at=self._started_at,
            written_at=utc_now(),
            has_ended=self._has_ended,
            in_flight=self.recorder.in_flight,
            memory_bytes=rss_bytes(),
            watcher_is_well=watcher.is_well,
            watcher_sentence=watcher.sentence,
            counted=Counted(
                series=series_of(cells),
                swaps=seen.swaps,
                stages=seen.stages,
                n_failed_in_swaps=seen.n_failed,
                n_starts=1,
                logged=dict(self.logged_predictions),
            ),
            served=seen.served,
            windows=seen.windows,
            models=seen.models,
        )


def _same(new: WorkerMetrics, old: WorkerMetrics | None) -> bool:
    """Nothing that is worth a write but the time and the memory."""
    return old is not None and new == msgspec.structs.replace(
        old, written_at=new.written_at, memory_bytes=new.memory_bytes
    )
