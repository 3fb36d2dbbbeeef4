"""Keep what was counted: one main process adds dead workers to the past, and remembers when.

A thread of the main process, which reads and writes files and nothing else.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import structlog

from api_service.metrics.traffic_past import TrafficKeeper
from api_service.metrics.worker_file import absorb_dead, forget_other_hosts
from shared.daemon import only_instance
from shared.errors import AlreadyRunning, HotfitError

log = structlog.get_logger()

LOOK_EVERY_S = 5.0
_LOCK = "past"


def keep_past(directory: Path, stop: threading.Event) -> None:
    """Look every few seconds until `stop`. Never raises."""
    told: str | None = None
    traffic = TrafficKeeper(directory)
    while not stop.is_set():
        try:
            look_once(directory, traffic)
        except (HotfitError, OSError) as error:
            if str(error) != told:
                log.warning("the past of the metrics is not kept", reason=str(error))
            told = str(error)
        except Exception:  # what is wrong with metrics must not end the thread
            log.exception("the past of the metrics is not kept")
        stop.wait(LOOK_EVERY_S)


def look_once(directory: Path, traffic: TrafficKeeper) -> None:
    """One look.

    Raises:
        StorageUnavailable, OSError: the disk is full or not writable.
    """
    # While the daemon is restarted two main processes may run; one of them is enough.
    with contextlib.suppress(AlreadyRunning), only_instance(directory, _LOCK):
        absorb_dead(directory)
        traffic.look()
        forget_other_hosts(directory)
