"""The loop of a daemon: its period, and how soon it hears that it shall stop."""

from __future__ import annotations

import threading
from datetime import datetime

import pytest

from shared import daemon


def test_a_long_pause_is_waited_in_short_steps_and_still_has_its_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On Windows a signal is handled only between two waits: long ones would outlast stop.bat."""
    clock = [0.0]
    waits: list[float] = []
    ticks: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            waits.append(timeout)
            clock[0] += timeout
            return self.is_set()

    stop = Stop()

    def tick(_now: datetime) -> None:
        ticks.append(clock[0])
        if len(ticks) == 3:
            stop.set()

    monkeypatch.setattr("shared.daemon.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(daemon, "_LONGEST_WAIT_S", 0.5)

    daemon.run_every(1.25, tick, stop)

    assert ticks == [0.0, 1.25, 2.5]
    assert max(waits) <= 0.5
