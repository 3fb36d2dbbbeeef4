"""Stop on signals, on Ctrl-C and when the parent process is gone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from types import FrameType

import structlog

from shared.daemon.background import run_once_in_background

log = structlog.get_logger()


_HARMLESS = [
    number for name in ("SIGHUP", "SIGUSR1", "SIGUSR2") if (number := getattr(signal, name, None))
]


def stop_on_signals(*stop: threading.Event, outlives_terminal: bool = False) -> None:
    """Set every `stop` on TERM and INT, and on Windows' BREAK. Main thread only.

    outlives_terminal : HUP, USR1 and USR2 end nothing; the log says that they change nothing.
    """
    # A handler interrupts the main thread anywhere, also while that holds an event's own lock:
    # it may not set one itself.
    read_end, write_end = os.pipe()

    def record(number: int, _frame: FrameType | None) -> None:
        os.write(write_end, bytes([number]))

    def pass_on() -> None:
        while (number := os.read(read_end, 1)[0]) in _HARMLESS:
            sentence = f"{signal.Signals(number).name}: settings are read at the start alone."
            log.warning("signal_without_effect", sentence=sentence)
        for each in stop:
            each.set()

    run_once_in_background("signals", pass_on)
    hear_ctrl_c()
    signal.signal(signal.SIGTERM, record)
    signal.signal(signal.SIGINT, record)
    if sys.platform == "win32":
        signal.signal(signal.SIGBREAK, record)
    for number in _HARMLESS if outlives_terminal else ():
        signal.signal(number, record)


def hear_ctrl_c() -> None:
    """On Windows: be asked to stop by Ctrl-C, even if whoever started us is deaf to it.

    That deafness is handed down to every process that a deaf one starts.
    """
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.kernel32.SetConsoleCtrlHandler(None, False)


def watch_parent(
    on_gone: Callable[[], None], parent_pipe: Connection | None = None, *, period_s: float = 1.0
) -> None:
    """Start a thread that calls `on_gone` once when the process that started this one is dead.

    Args:
        parent_pipe: the end of a pipe of which that process alone has the other end.
    """
    started_by = multiprocessing.parent_process()
    if parent_pipe is not None:
        wait: Callable[[], object] = partial(parent_pipe.poll, None)
    elif started_by is not None:
        # Its end of a pipe closes with it: seen at once, and also when it died before we asked.
        wait = started_by.join
    else:
        wait = partial(_wait_for_parent, os.getppid(), period_s)

    def look() -> None:
        wait()
        on_gone()

    run_once_in_background("parent-watch", look)


def _wait_for_parent(pid: int, period_s: float) -> None:
    import psutil

    try:
        parent = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return
    while parent.is_running() and os.getppid() == pid:
        time.sleep(period_s)
