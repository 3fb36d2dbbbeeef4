"""Keep the files of dead workers from piling up: one main process adds them to the past.

A thread of the main process, which reads and writes files and nothing else.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import structlog

from api_service.metrics.worker_file import absorb_dead, forget_other_hosts
from shared.daemon import only_instance
from shared.errors import AlreadyRunning, HotfitError

log = structlog.get_logger()

LOOK_EVERY_S = 5.0
_LOCK = "past"


def keep_past(directory: Path, stop: threading.Event) -> None:
    """Absorb dead workers every few seconds until `stop`. Never raises."""
    told: str | None = None
    while not stop.is_set():
        try:
            absorb_once(directory)
        except (HotfitError, OSError) as error:
            if str(error) != told:
                log.warning("metrics of dead workers stay where they are", reason=str(error))
            told = str(error)
        except Exception:  # what is wrong with metrics must not end the thread
            log.exception("metrics of dead workers stay where they are")
        stop.wait(LOOK_EVERY_S)


def absorb_once(directory: Path) -> None:
    """One look.

    Raises:
        StorageUnavailable, OSError: the disk is full or not writable.
    """
    # While the daemon is restarted two main processes may run; one of them is enough.
    with contextlib.suppress(AlreadyRunning), only_instance(directory, _LOCK):
        absorb_dead(directory)
        forget_other_hosts(directory)
