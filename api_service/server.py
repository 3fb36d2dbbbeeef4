"""The main process: one server with N workers, kept up until somebody asks it to stop.

Starts and replaces processes; serves no request itself and opens no model.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.mp import MPServer

from api_service.address import Address
from api_service.serving_config import ServingConfig
from api_service.spawn import build_application
from api_service.worker_reports import live_reports
from shared.daemon import notify
from shared.errors import FixConfiguration, PortTaken
from shared.keys import KEY_VARIABLE, ApiKeys
from shared.settings import Settings

log = structlog.get_logger()

# Below the ten seconds that stop.sh waits before it kills.
WORKERS_KILL_TIMEOUT_S = 8
# One computes, the others may wait for slow bodies: see turnstile.py.
READING_THREADS = 4
_LOOK_AGAIN_S = 1.0
_QUICK_DEATH_S = 10.0
_LONGEST_PAUSE_S = 30.0
_ORPHANS_END_WITHIN_S = 15.0

# Numerical libraries spin against each other on few cores; one thread each is fastest here.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

GRANIAN_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {},
    "handlers": {"ours": {"()": "api_service.server_log.ServerLog"}},
    "loggers": {
        "_granian": {"handlers": ["ours"], "propagate": False},
        "granian.access": {"handlers": ["ours"], "propagate": False},
    },
}


class PatientServer(MPServer):
    """Granian, but it looks at its workers instead of counting events, and never gives up.

    Granian's own loop exits when a worker dies twice within seconds, and can miss a death that
    comes while it handles another. This one asks each process whether it lives, each second and
    on every event, and replaces the dead with a growing pause.
    """

    _pauses: dict[int, float]
    _not_before: dict[int, float]

    def _serve_loop(self, spawn_target: Any, target_loader: Any) -> None:
        self._pauses, self._not_before = {}, {}
        while not self._is_asked_to_stop():
            self.main_loop_interrupt.wait(_LOOK_AGAIN_S)
            # Cleared before looking, so that what happens meanwhile is looked at again.
            self.main_loop_interrupt.clear()
            self.reload_signal = False  # HUP: models are swapped without it
            if self._is_asked_to_stop():
                break
            dead = [worker for worker in self.wrks if not worker.inner.is_alive()]
            due = [worker.idx for worker in dead if self._is_due(worker.idx, worker.birth)]
            if due:
                for idx in due:
                    self._not_before.pop(idx)
                self._respawn_workers(due, spawn_target, target_loader)
        self.interrupt_children.clear()

    def _is_asked_to_stop(self) -> bool:
        return bool(self.interrupt_signal)

    def _is_due(self, idx: int, birth: float) -> bool:
        """Whether a dead worker may be started again now; its first death costs no pause."""
        now = time.monotonic()
        if idx not in self._not_before:
            is_quick = now - birth < _QUICK_DEATH_S
            pause = self._pauses.get(idx, 0.0) if is_quick else 0.0
            self._pauses[idx] = min(max(1.0, pause * 2), _LONGEST_PAUSE_S)
            self._not_before[idx] = now + pause
            log.error("worker died", worker=idx + 1, replaced_in_s=pause)
        return now >= self._not_before[idx]


def prepare(settings: Settings) -> ServingConfig:
    """Everything that can be wrong is found here, before anything starts.

    Raises:
        FixConfiguration: the address, or a host that needs keys and has none.
    """
    address = Address.resolve(settings.api.host, settings.api.port)
    if not address.is_loopback and not len(ApiKeys.read(settings.keys_dir)):
        raise FixConfiguration(
            f"api.host: {settings.api.host} is reachable from other machines and no API key"
            f" exists. Start the retrain daemon once, which writes {settings.keys_dir}, or set"
            f" {KEY_VARIABLE}; or use 127.0.0.1."
        )
    workers = settings.api.workers
    if sys.platform == "win32" and workers > 1:
        log.warning("one worker on Windows: the server cannot share a port there", asked=workers)
        workers = 1
    return ServingConfig.of(settings, address, workers)


def wait_for_port(address: Address, reports_dir: Path) -> None:
    """Find a taken port; workers of a main process that was killed are given time to end.

    Raises:
        PortTaken, FixConfiguration: as `Address.check_free` says.
    """
    deadline = time.monotonic() + _ORPHANS_END_WITHIN_S
    while True:
        try:
            address.check_free()
        except PortTaken:
            # We hold the only-instance lock: live workers of this home have lost their main.
            if not live_reports(reports_dir) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def serve(config: ServingConfig) -> None:
    """Serve until TERM or INT; returns when every request in flight is answered."""
    for name in _ONE_THREAD:
        os.environ.setdefault(name, "1")
    # A forked worker would inherit our lock, our threads and half a logging setup.
    multiprocessing.set_start_method("spawn", force=True)
    server = PatientServer(
        "api_service.spawn:build_application",
        address=config.address.ip,
        port=config.address.port,
        interface=Interfaces.WSGI,
        workers=config.workers,
        blocking_threads=READING_THREADS,
        respawn_failed_workers=True,
        workers_kill_timeout=WORKERS_KILL_TIMEOUT_S,
        websockets=False,
        log_level=LogLevels.warning,
        log_dictconfig=GRANIAN_LOGGING,
    )
    server.on_shutdown(partial(notify, "STOPPING=1"))
    threading.Thread(
        target=tell_when_healthy,
        args=(config, lambda: server.interrupt_signal),
        name="readiness",
        daemon=True,
    ).start()
    try:
        server.serve(target_loader=partial(build_application, config), wrap_loader=False)
    except SystemExit:
        if not server.interrupt_signal:
            raise
    log.info("stopped")


def tell_when_healthy(config: ServingConfig, is_stopping: Callable[[], bool]) -> None:
    """Log and tell the service manager when the first answer comes, then keep its watchdog fed."""
    while not _answers(config.address.url):
        if is_stopping():
            return
        time.sleep(0.05)
    log.info("serving", url=config.address.url, workers=config.workers)
    notify(f"READY=1\nSTATUS=serving at {config.address.url}")
    interval_s = int(os.environ.get("WATCHDOG_USEC", "0")) / 2e6
    while interval_s and not is_stopping():
        if _answers(config.address.url):
            notify("WATCHDOG=1")
        time.sleep(interval_s)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/livez", timeout=5) as answer:  # noqa: S310 - ours
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
