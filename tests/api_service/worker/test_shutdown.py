"""How workers come to their end: in their own time where nothing else can ask them."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection

import pytest

from api_service.worker.shutdown import EndRequest, wait_for_end


def _serve_until_asked(end_request: EndRequest, begun: Connection, *, has_handler: bool) -> None:
    """What a worker is: its main thread waits for something that only the handler does."""
    done = threading.Event()
    end_request.listen()
    if has_handler:
        signal.signal(signal.SIGTERM, lambda _number, _frame: done.set())
    begun.send_bytes(b"listening")
    done.wait(60)
    sys.exit(7 if done.is_set() else 1)


@pytest.mark.parametrize(("has_handler", "code"), [(True, 7), (False, 0)])
def test_a_worker_that_is_asked_does_what_term_does(has_handler: bool, code: int) -> None:
    """On Windows nothing else reaches it: its answers were cut off after eight seconds.

    Before the server is there, there is no answer to wait for.
    """
    context = multiprocessing.get_context("spawn")
    asked, deaf = EndRequest(), EndRequest()
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_serve_until_asked, args=(asked, theirs), kwargs={"has_handler": has_handler}
    )
    process.start()
    try:
        assert ours.poll(60)
        deaf.ask()  # another worker's
        process.join(0.1)
        assert process.is_alive()
        asked.ask()
        process.join(60)

        assert process.exitcode == code
    finally:
        process.kill()
        process.join()


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
