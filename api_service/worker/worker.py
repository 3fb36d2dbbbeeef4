"""Run one serving process: slots, reload thread, heartbeat and the WSGI application.

Runs in each worker after it was started; threads started before that would not exist here. The
cold start is done before the application is handed over, so that no request meets an empty worker
when a version exists.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import structlog

from api_service.app import create_app
from api_service.config.serving import ServingConfig
from api_service.context import Context
from api_service.metrics.flush import MetricsWriter
from api_service.predict.lazy_loading import LazyLoader
from api_service.recording.prediction_log import PredictionLog
from api_service.reload.eviction import budget_bytes
from api_service.reload.switch.channel import SwitchChannel
from api_service.reload_manager import ReloadManager
from api_service.serving_slot import ServingTable
from api_service.signal_watcher import SignalWatcher
from api_service.status.missing_files import MissingFiles
from api_service.status.worker_liveness import WorkerLiveness
from api_service.status.workers import remove_stale
from api_service.web.auth import KeyRing
from api_service.web.granian_adapter import ServerCallback
from api_service.web.self_probe import start_self_probe
from api_service.worker.crash_detection import crash_reports, crashing_versions
from api_service.worker.report import HEARTBEAT_S, OwnReport
from shared.daemon.background import (
    BackgroundThread,
    background_problems,
    is_background_thread_gone,
    run_in_background,
)
from shared.daemon.loop import utc_now
from shared.exchange.training_metrics import metrics_dir
from shared.exchange.worker_report import ServingReport, WatcherReport
from shared.keys.console_secret import console_secret
from shared.keys.signing import VerifyKey
from shared.versions.model_store import ModelStore
from shared.versions.model_version import VersionState
from shared.workloads import PER_ENTITY

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

log = structlog.get_logger()

_DRAIN_CHECK_S = 0.02
_STUCK_AFTER_CHECKS = 20
_FEW_MODELS = 50
_REPORT_PAUSE_S = 0.25


class Worker:
    """The parts of one serving process and the threads that keep them moving."""

    def __init__(
        self,
        config: ServingConfig,
        channel: SwitchChannel | None = None,
        liveness: WorkerLiveness | None = None,
    ) -> None:
        self._config = config
        self._channel = channel
        self._liveness = liveness
        self.note_answer = liveness.note_answer if liveness is not None else _note_nothing
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._reporting = threading.Lock()
        self._is_report_due = threading.Event()
        self._reported_loading: frozenset[str] = frozenset()
        self._threads: list[BackgroundThread] = []
        self._checked_s = time.monotonic()
        self.lazy_loader = LazyLoader(lambda name, now: self.manager.open_cold(name, now))
        self.table = ServingTable(self.lazy_loader.load)
        read_key = partial(VerifyKey.read, config.public_key_path)
        self.store = ModelStore(config.models_dir, read_key)
        self.ring = KeyRing(config.keys_dir)
        self.watcher = SignalWatcher(config.models_dir, self._wake)
        self.own_report = OwnReport(config.reports_dir)
        self._missing = MissingFiles(config)
        # A model per entity has no version of its own; entities are known by their versions.
        configured = [name for name, kind in config.workloads.items() if kind not in PER_ENTITY]
        self.metrics = MetricsWriter(
            metrics_dir(config.reports_dir),
            self.table,
            self._watcher_report,
            configured=configured,
        )
        self.prediction_log = PredictionLog(
            config.prediction_log, partial(console_secret, config.keys_dir)
        )
        self.metrics.logged_predictions = self.prediction_log.counts
        self.manager = ReloadManager(
            self.store,
            self.table,
            read_key,
            drain_timeout_s=config.drain_timeout_s,
            configured=configured,
            on_change=self._on_change,
            channel=channel,
            switch_timeout_s=config.switch_timeout_s,
            preload=config.preload,
            budget_bytes=budget_bytes(config.memory_budget_mb, config.workers),
        )

    def end_early_when_asked(self) -> None:
        """Until the server listens to TERM, that ends this process as it is; main thread only.

        Not without a trace: a report that says "loading" of a dead worker is held against the
        version (see crash_detection.py).
        """

        def end(_number: int, _frame: object) -> None:
            # Past its lock, which this very thread may hold.
            with contextlib.suppress(OSError):
                self.own_report.path.unlink(missing_ok=True)
            os._exit(0)

        signal.signal(signal.SIGTERM, end)

    def start(self) -> None:
        """Cold start in this thread, then keep going in threads of our own."""
        if self._channel is not None:
            self._channel.start(self._wake.set)
        with contextlib.suppress(OSError):
            # So that the first version ever is noticed by an event and not by the timer.
            self._config.models_dir.mkdir(parents=True, exist_ok=True)
            reports_of_dead = crash_reports(self._config.reports_dir, self.store)
            for name, key in crashing_versions(reports_of_dead, self.store).items():
                reason = f"{key[0]}: workers died while opening it."
                self.manager.quarantine_crashing(name, key, reason)
            remove_stale(self._config.reports_dir, keep=reports_of_dead)
        self._check_all()
        self.write_report()
        self._threads.append(self.metrics.start(self._stop))
        if (logging := self.prediction_log.start(self._stop)) is not None:
            self._threads.append(logging)
        self._wake.set()  # what others serve may not be what is wanted: look again when listening
        for name, step in (("reload", self._reload), ("heartbeat", self._heartbeat)):
            self._threads.append(run_in_background(name, step, self._stop))

    def show_liveness(self, call: ServerCallback | None) -> None:
        """From now on the main process sees that requests are answered here.

        Args:
            call: what the server calls with each request; None where that is not ours.
        """
        if self._liveness is not None:
            start_self_probe(call, self._liveness, self._config.address, self._is_unhealthy)

    def is_ending(self) -> bool:
        """Whether the main process has said that this worker is to end; any thread may ask."""
        return self._liveness is not None and self._liveness.is_ending

    def stop(self) -> None:
        """End the threads and take our report away."""
        self._stop.set()
        self._wake.set()
        self._is_report_due.set()
        self.lazy_loader.stop()
        for thread in self._threads:
            thread.join(2)
        self.watcher.stop()
        self.prediction_log.end()
        self.metrics.end()
        self.own_report.remove()

    def application(self) -> WSGIApplication:
        context = Context(
            self._config,
            self.table,
            self.store,
            self.ring,
            recorder=self.metrics.recorder,
            flush_metrics=self.metrics.flush,
            prediction_log=self.prediction_log,
            problems=self.problems,
        )
        return create_app(context)

    def write_report(self) -> None:
        """Tell the others what this worker serves."""
        with self._reporting:
            reports, n_idle = self.manager.reports, self.manager.n_idle
            self._reported_loading = _loading(reports)
            self.metrics.look_at(reports)
            self.own_report.write(
                utc_now(),
                self._watcher_report(),
                reports,
                n_idle,
                self.problems(),
                is_hasty=self._has_many,
            )

    def problems(self) -> list[str]:
        """What is wrong with this worker and with what it needs, now."""
        problems = [*self._missing.sentences(), *background_problems()]
        if self.prediction_log.error is not None:
            problems.append(
                "predictions are answered and not logged, so that live errors miss them:"
                f" {self.prediction_log.error}"
            )
        error = self.own_report.error or self.metrics.error
        if error is not None:
            problems.insert(
                0,
                "reports cannot be written; predictions are answered, health and metrics grow old:"
                f" {error}",
            )
        return problems

    @property
    def _has_many(self) -> bool:
        """Whether models come and go so often that reports must be cheap."""
        return bool(self.manager.n_idle) or len(self.manager.reports) > _FEW_MODELS

    def _on_change(self) -> None:
        """Write at once, or soon where there are so many models that it would add up."""
        if self._liveness is not None:
            self._liveness.note_progress()
        reports = self.manager.reports
        # What is about to be opened must be on disk before: it may kill this process.
        if not self._has_many or not _loading(reports) <= self._reported_loading:
            self.write_report()
        else:
            self._is_report_due.set()

    # -- threads -----------------------------------------------------------------------------------

    def _check_all(self) -> None:
        """One look at everything. The watcher first: an event after it is not lost."""
        self.watcher.check_health()
        self.ring.refresh()
        self.manager.tick(utc_now())
        self._checked_s = time.monotonic()

    def _reload(self) -> None:
        """Look when woken, and by the slow timer anyway."""
        deadline = time.monotonic() + self._config.reconcile_interval_s
        while not self._stop.is_set() and not self._wake.is_set():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            if self.manager.is_draining:
                self._wake.wait(min(left_s, _DRAIN_CHECK_S))
                self.manager.finish_draining()
            else:
                self._wake.wait(left_s)
        # Cleared before looking: what changes during the look wakes us again.
        self._wake.clear()
        if not self._stop.is_set():
            self._check_all()

    def _heartbeat(self) -> None:
        self.write_report()
        self._stop.wait(_REPORT_PAUSE_S)
        self._is_report_due.wait(HEARTBEAT_S)
        self._is_report_due.clear()

    def _is_unhealthy(self) -> bool:
        """Whether something here has ended, or stands still, that only a new process has again."""
        return is_background_thread_gone() or self._watcher_report().is_stuck

    def _watcher_report(self) -> WatcherReport:
        since_check_s = time.monotonic() - self._checked_s
        limit_s = _STUCK_AFTER_CHECKS * self._config.reconcile_interval_s
        if self.manager.opening_now is None and since_check_s > limit_s:
            return WatcherReport(
                is_well=False,
                is_stuck=True,
                sentence=f"the reload loop has not run for {since_check_s:.0f} s; its worker is"
                " replaced.",
            )
        return self.watcher.report


def _note_nothing() -> None:
    """There is no main process that wants to see answers."""


def _loading(reports: Mapping[str, ServingReport]) -> frozenset[str]:
    loading = VersionState.LOADING.value
    return frozenset(name for name, report in reports.items() if report.state == loading)
