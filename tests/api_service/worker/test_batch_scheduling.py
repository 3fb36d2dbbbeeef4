"""The threads of a worker do not interrupt each other."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from api_service.worker.batch_scheduling import use_batch_scheduling

if sys.platform != "linux":
    pytest.skip("the policy is Linux's", allow_module_level=True)


def test_a_thread_that_takes_turns_starts_threads_that_do() -> None:
    """The server starts its threads itself; they have to inherit it, and nobody else may get it."""
    found: dict[str, int] = {}

    def child() -> None:
        found["child"] = os.sched_getscheduler(0)

    def parent() -> None:
        assert use_batch_scheduling()
        found["parent"] = os.sched_getscheduler(0)
        thread = threading.Thread(target=child)
        thread.start()
        thread.join()

    thread = threading.Thread(target=parent)
    thread.start()
    thread.join()

    assert found == {"parent": os.SCHED_BATCH, "child": os.SCHED_BATCH}
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_service_manager_that_forbids_it_stops_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """It only makes answers cheaper."""

    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)

    assert not use_batch_scheduling()
