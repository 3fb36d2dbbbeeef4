"""End one worker process for good, whatever state it is in. Waits for nobody."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess

import psutil


def end_worker(process: BaseProcess, grace_s: float) -> None:
    """Ask it to answer what it has and end; kill it after `grace_s`, or at once when it is stopped.

    A stopped process takes no request to end. What it held is lost: its clients see a reset.
    """
    if _is_stopped(process.pid):
        process.kill()
        return
    process.terminate()

    def kill() -> None:
        with contextlib.suppress(ValueError, OSError):
            if process.is_alive():
                process.kill()

    timer = threading.Timer(grace_s, kill)
    timer.daemon = True
    timer.start()


def wait_for_end(processes: Sequence[BaseProcess], timeout_s: float) -> None:
    """Return when all have ended by themselves, or after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))


def _is_stopped(pid: int | None) -> bool:
    try:
        return pid is not None and psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False
