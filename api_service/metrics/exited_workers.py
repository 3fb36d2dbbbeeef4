"""Add the counters of exited workers to the host's total, so that no count is lost.

A thread of one main process per host; it reads and writes files and serves nothing.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from api_service.metrics.traffic_history import TrafficWriter
from api_service.metrics.worker_file import forget_other_hosts, merge_exited_workers
from shared.daemon.background import run_in_background
from shared.daemon.one_instance import only_instance
from shared.errors import AlreadyRunning
from shared.left_temporaries import remove_left_temporaries

LOOK_EVERY_S = 5.0
_LOCK = "past"


def aggregate_exited_workers(directory: Path, stop: threading.Event) -> None:
    """Start a thread that looks every few seconds until `stop`."""
    traffic = TrafficWriter(directory)

    def look() -> None:
        aggregate_once(directory, traffic)
        for place in (directory, directory.parent):  # metrics, and the reports around them
            remove_left_temporaries(place)
        stop.wait(LOOK_EVERY_S)

    run_in_background("metrics", look, stop)


def aggregate_once(directory: Path, traffic: TrafficWriter) -> None:
    """One look.

    Raises:
        StorageUnavailable, OSError: the disk is full or not writable.
    """
    # While the daemon is restarted two main processes may run; one of them is enough.
    with contextlib.suppress(AlreadyRunning), only_instance(directory, _LOCK):
        merge_exited_workers(directory)
        traffic.look()
        forget_other_hosts(directory)
