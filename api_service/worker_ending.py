"""How worker processes come to their end, asked for or not. Knows no request and no model."""

from __future__ import annotations

import contextlib
import signal
import socket
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


def hear_signals() -> None:
    """Have signals handled at once, whatever the main thread does. Main thread only.

    Python handles a signal between two steps of the main thread, which on Windows stays inside of
    the server until that is told to end: by the handler that waits for it. So another thread calls
    the handler too; called a second time it must do no harm.
    """
    ours, pythons = socket.socketpair()
    pythons.setblocking(False)
    signal.set_wakeup_fd(pythons.fileno(), warn_on_full_buffer=False)

    def pass_on() -> None:
        while number := ours.recv(1)[0]:
            handler = signal.getsignal(number)
            if callable(handler) and handler is not signal.default_int_handler:
                handler(number, None)
            pythons.fileno()  # kept open by this thread

    threading.Thread(target=pass_on, name="signals", daemon=True).start()


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
