"""When a worker is replaced, and when only a restart of the main process helps."""

from __future__ import annotations

import time

import pytest

from api_service.status.worker_liveness import COLD_START_S, LOOP_LIMIT_S, WorkersLiveness

TIMEOUT_S = 60.0


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = time.monotonic()
        monkeypatch.setattr("api_service.status.worker_liveness.time.monotonic", lambda: self.now_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_worker_that_answers_stays_and_one_that_falls_silent_is_replaced(clock: Clock) -> None:
    """Its connections are taken by the system, and nobody ever answers them."""
    liveness = WorkersLiveness(2, TIMEOUT_S)
    first, second = liveness.of(0), liveness.of(1)
    first.note_answer()
    second.note_answer()

    clock.now_s += TIMEOUT_S + 1
    first.note_answer()
    liveness.note_check()

    assert liveness.replacement_reason(0, None) is None
    assert liveness.replacement_reason(1, None) == "it has answered no request for 61 s."
    assert liveness.health_problem() is None, "the main process sees to it"


def test_a_new_worker_is_given_time_as_long_as_it_comes_further(clock: Clock) -> None:
    """Many models take minutes; to begin anew would never come to an end."""
    liveness = WorkersLiveness(1, TIMEOUT_S)
    worker = liveness.of(0)
    for _ in range(3):
        clock.now_s += COLD_START_S - 1
        assert liveness.replacement_reason(0, None) is None
        worker.note_progress()

    clock.now_s += COLD_START_S + 1

    assert (
        liveness.replacement_reason(0, None) == "opening its models has come no further for 301 s."
    )


def test_the_one_that_comes_after_begins_anew(clock: Clock) -> None:
    """It must not be ended for what the one before it was."""
    liveness = WorkersLiveness(1, TIMEOUT_S)
    worker = liveness.of(0)
    worker.note_answer()
    worker.note_unhealthy(True)
    reason = liveness.replacement_reason(0, None)
    assert reason is not None
    assert "threads" in reason

    liveness.of(0)

    assert liveness.replacement_reason(0, None) is None


def test_readiness_is_an_answer_of_a_worker_of_our_own() -> None:
    """Beside an older instance the port answers before we can; its end would then lose requests."""
    liveness = WorkersLiveness(2, TIMEOUT_S)
    liveness.of(0)
    worker = liveness.of(1)
    assert not liveness.has_answered

    worker.note_answer()

    assert liveness.has_answered


def test_a_main_process_that_does_not_look_or_whose_workers_all_stay_silent_is_restarted(
    clock: Clock,
) -> None:
    """Only systemd can end what is to replace the others."""
    liveness = WorkersLiveness(2, TIMEOUT_S)
    liveness.of(0).note_answer()
    liveness.note_check()
    assert liveness.health_problem() is None

    clock.now_s += LOOP_LIMIT_S + 1
    assert liveness.health_problem() == "the main process has not checked its workers for 31 s."

    clock.now_s += TIMEOUT_S
    liveness.note_check()
    assert liveness.health_problem() == "no worker has answered for 91 s."


def test_a_worker_sees_that_it_ends_and_its_successor_does_not(clock: Clock) -> None:
    """A worker that is started anew must not hurry the bodies of its clients."""
    liveness = WorkersLiveness(2, TIMEOUT_S)
    workers = [liveness.of(0), liveness.of(1)]
    assert not any(worker.is_ending for worker in workers)

    liveness.note_ending()

    assert all(worker.is_ending for worker in workers)
    assert not any(worker.is_unhealthy or worker.answered_s for worker in workers)
    assert not liveness.of(1).is_ending
