"""One serving process: slots, the reload thread, the heartbeat, and the WSGI application.

Runs in each worker after it was spawned; threads started before that would not exist here. The
cold start is done before the application is handed over, so that no request meets an empty
worker when a version exists.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog

from api_service.access import KeyRing
from api_service.app import create_app
from api_service.context import Context
from api_service.dead_peers import notice_dead_peers
from api_service.deadly_versions import deadly_versions, last_words
from api_service.reload_manager import ReloadManager
from api_service.serving_config import ServingConfig
from api_service.serving_slot import ServingTable
from api_service.signal_watcher import SignalWatcher
from api_service.turnstile import Turnstile
from api_service.worker_reports import HEARTBEAT_S, OwnReport, remove_stale
from shared.daemon import run_every, start_logging, utc_now, watch_parent
from shared.keys import VerifyKey
from shared.model_store import ModelStore
from shared.signals import WatcherReport
from shared.workloads import PER_ENTITY

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

log = structlog.get_logger()

_DRAIN_LOOK_S = 0.02
_STUCK_AFTER_LOOKS = 20
_LAST_MOMENT_S = 10.0


class Worker:
    """The parts of one serving process and the threads that keep them moving."""

    def __init__(self, config: ServingConfig) -> None:
        self._config = config
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._threads: list[threading.Thread] = []
        self._looked_at = time.monotonic()
        self.table = ServingTable()
        self.store = ModelStore(config.models_dir)
        self.ring = KeyRing(config.keys_dir)
        self.watcher = SignalWatcher(config.models_dir, self._wake)
        self.own_report = OwnReport(config.reports_dir)
        self.manager = ReloadManager(
            self.store,
            self.table,
            partial(VerifyKey.read, config.public_key_path),
            drain_timeout_s=config.drain_timeout_s,
            # A model per entity has no version of its own; entities are known by their versions.
            configured=[name for name, kind in config.workloads.items() if kind not in PER_ENTITY],
            on_change=self.write_report,
        )

    def start(self) -> None:
        """Cold start in this thread, then keep going in threads of our own."""
        with contextlib.suppress(OSError):
            # So that the first version ever is noticed by an event and not by the timer.
            self._config.models_dir.mkdir(parents=True, exist_ok=True)
            words = last_words(self._config.reports_dir, self.store)
            for name, key in deadly_versions(words, self.store).items():
                reason = f"{key[0]}: workers died while opening it."
                self.manager.distrust(name, key, reason)
            remove_stale(self._config.reports_dir, keep=words)
        self._look()
        self.write_report()
        for name, body in (("reload", self._reload_loop), ("heartbeat", self._heartbeat)):
            thread = threading.Thread(target=body, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the threads and take our report away."""
        self._stop.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(timeout=2)
        self.watcher.stop()
        self.own_report.remove()

    def application(self) -> WSGIApplication:
        return Turnstile(create_app(Context(self._config, self.table, self.store, self.ring)))

    def write_report(self) -> None:
        """Tell the others what this worker serves."""
        self.own_report.write(utc_now(), self._watcher_report(), self.manager.reports)

    # -- threads -----------------------------------------------------------------------------------

    def _look(self) -> None:
        """One look at everything. The watcher first: an event after it is not lost."""
        self.watcher.look_after()
        self.ring.refresh()
        self.manager.tick(utc_now())
        self._looked_at = time.monotonic()

    def _reload_loop(self) -> None:
        """Look when woken, and by the slow timer anyway."""
        while not self._stop.is_set():
            deadline = time.monotonic() + self._config.reconcile_interval_s
            while not self._stop.is_set() and not self._wake.is_set():
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    break
                if self.manager.is_draining:
                    self._wake.wait(min(left_s, _DRAIN_LOOK_S))
                    self.manager.finish_draining()
                else:
                    self._wake.wait(left_s)
            # Cleared before looking: what changes during the look wakes us again.
            self._wake.clear()
            if self._stop.is_set():
                return
            try:
                self._look()
            except Exception:  # this thread must outlive every surprise
                log.exception("reload loop failed, going on")

    def _heartbeat(self) -> None:
        run_every(HEARTBEAT_S, lambda _now: self.write_report(), self._stop)

    def _watcher_report(self) -> WatcherReport:
        silent_s = time.monotonic() - self._looked_at
        limit_s = _STUCK_AFTER_LOOKS * self._config.reconcile_interval_s
        if self.manager.busy_with is None and silent_s > limit_s:
            return WatcherReport(
                is_well=False,
                sentence=f"the reload loop has not looked for {silent_s:.0f} s; restart the API.",
            )
        return self.watcher.report


def start_worker(config: ServingConfig) -> WSGIApplication:
    """Make this process a worker and return its application."""
    start_logging(config.log_format, "api_service")
    watch_parent(_end_this_process)
    worker = Worker(config)
    worker.start()
    atexit.register(worker.stop)
    notice_dead_peers(config.address.port)
    return worker.application()


def _end_this_process() -> None:
    """The main process is gone: nobody would replace or stop this worker any more."""
    if sys.platform == "win32":
        os._exit(1)
    os.kill(os.getpid(), signal.SIGTERM)  # drains, as a stop does
    log.warning("the main process is gone; this worker ends")
    time.sleep(_LAST_MOMENT_S)
    os._exit(1)
