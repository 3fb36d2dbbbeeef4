"""A background thread outlives whatever its work raises, and says how it is."""

from __future__ import annotations

import errno
import threading

import pytest

from shared.daemon import background
from shared.daemon.background import (
    BackgroundThread,
    background_problems,
    is_background_thread_gone,
    run_in_background,
    run_once_in_background,
)
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    "raised",
    [OSError(errno.EMFILE, "Too many open files"), SystemExit(1), UnicodeError("\udcff")],
    ids=["EMFILE", "sys.exit", "unencodable"],
)
def test_a_step_that_raises_is_counted_told_once_and_repeated(
    raised: BaseException, capfd: pytest.CaptureFixture[str]
) -> None:
    """One error in the heartbeat ended the thread, and no version was ever swapped again."""
    stop, may_work, worked = threading.Event(), threading.Event(), threading.Event()
    n_calls = 0

    def step() -> None:
        nonlocal n_calls
        n_calls += 1
        if not may_work.is_set():
            raise raised
        worked.set()
        stop.wait(0.01)

    thread = run_in_background("under-test", step, stop)
    try:
        wait_until(lambda: n_calls >= 3, 30, "the thread to go on")
        assert thread.problem is not None
        assert "under-test has failed" in thread.problem
        assert type(raised).__name__ in thread.problem
        assert any("under-test" in problem for problem in background_problems())

        may_work.set()

        assert worked.wait(30)
        wait_until(lambda: thread.problem is None, 30, "the thread to be well again")
        assert not is_background_thread_gone()
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_gone, "it ended because it was asked to"
    assert capfd.readouterr().out.count("background_thread_failed") <= 1


def test_a_thread_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may count on work that nobody does any more."""
    monkeypatch.setattr(background, "_threads", [])
    monkeypatch.setattr(BackgroundThread, "_run", lambda _self: None)

    thread = run_in_background("swept-away", lambda: None)

    thread.join(30)
    assert is_background_thread_gone()
    assert background_problems() == [
        "the background thread swept-away has ended; its process must be replaced."
    ]


def test_work_that_is_done_once_is_repeated_until_it_succeeds() -> None:
    """Who waits for the end of the main process must not stop waiting over a passing error."""
    n_calls = 0

    def call() -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls < 3:
            raise OSError(errno.EMFILE, "Too many open files")

    thread = run_once_in_background("once", call)
    thread.join(30)

    assert n_calls == 3
    assert thread.is_over
    assert thread.problem is None
