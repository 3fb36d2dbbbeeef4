"""How workers come to their end: in their own time where nothing else can ask them."""

from __future__ import annotations

import multiprocessing
import time

from api_service.worker_ending import wait_for_end


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
