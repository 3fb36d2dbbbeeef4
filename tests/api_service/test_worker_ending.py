"""How workers come to their end: in their own time where nothing else can ask them."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
import time

import pytest

from api_service.worker_ending import hear_signals, wait_for_end
from tests.support.waiting import wait_until


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal of POSIX")
def test_a_signal_is_handled_without_the_main_thread() -> None:
    """On Windows the main thread is inside of the server: Ctrl-C was heard when it was too late."""
    called_in: list[str] = []

    def note(_number: int, _frame: object) -> None:
        called_in.append(threading.current_thread().name)

    former = signal.signal(signal.SIGUSR2, note)
    try:
        hear_signals()
        signal.raise_signal(signal.SIGUSR2)

        wait_until(lambda: "signals" in called_in, 30, "the handler to be called by another thread")
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR2, former)


def test_workers_that_end_by_themselves_are_waited_for_and_others_only_so_long() -> None:
    """On Windows ending a worker cuts its answers off, so the main process waits; not for ever."""
    context = multiprocessing.get_context("spawn")
    quick = context.Process(target=time.sleep, args=(0.01,))
    slow = context.Process(target=time.sleep, args=(60,))
    quick.start()
    slow.start()
    try:
        wait_for_end([quick], 30)
        began = time.monotonic()
        wait_for_end([slow, quick], 0.2)

        assert not quick.is_alive()
        assert slow.is_alive()
        assert 0.2 <= time.monotonic() - began < 10
    finally:
        slow.kill()
        slow.join()
