"""End worker processes, on request or by force. Knows no request and no model."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

import psutil

from shared.daemon.background import run_once_in_background


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


class EndRequest:
    """How the main process asks a worker to end where no signal does: made before it is spawned.

    Windows has no TERM that a process could answer, and Ctrl-C is not heard: Python's handler
    waits for the main thread, which waits inside of the server until that handler has run.
    """

    def __init__(self) -> None:
        # Not an Event: to set one waits for each that listens, also for one that was killed.
        self._requested = get_context("spawn").Semaphore(0)

    def ask(self) -> None:
        """Have the worker answer what it has and end. In the main process."""
        self._requested.release()

    def listen(self) -> None:
        """From now on, do what TERM does when asked; in the worker, main thread only."""
        # Ctrl-C comes to everybody at the console; the main process is the one that acts on it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        run_once_in_background("end", self._wait)

    def _wait(self) -> None:
        self._requested.acquire()
        handler = signal.getsignal(signal.SIGTERM)
        if not callable(handler):
            os._exit(0)  # the server has not begun: there is no answer to cut off
        handler(signal.SIGTERM, None)


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
