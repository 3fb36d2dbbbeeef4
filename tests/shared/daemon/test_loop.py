"""The loop of a daemon: its period, and how soon it hears that it shall stop."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import datetime

import pytest

from shared.daemon import loop as daemon


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

    monkeypatch.setattr("shared.daemon.loop.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(daemon, "_LONGEST_WAIT_S", 0.5)

    daemon.run_every(1.25, tick, stop)

    assert ticks == [0.0, 1.25, 2.5]
    assert max(waits) <= 0.5


class _Awaited(threading.Event):
    """An event whose waits only move the clock on, and are ended by what is planned."""

    def __init__(self, clock: list[float]) -> None:
        super().__init__()
        self._clock = clock
        self.set_at: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        until = self._clock[0] + timeout
        due = [at for at in self.set_at if self._clock[0] <= at <= until]
        if due and not self.is_set():
            self._clock[0] = due[0]
            self.set_at.remove(due[0])
            self.set()
        elif not self.is_set():
            self._clock[0] = until
        return self.is_set()


def test_a_loop_that_is_woken_ticks_early_and_rests_as_long_as_the_tick_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A step that ended is followed at once; who wakes without end gets half of the time."""
    clock = [0.0]
    stop, wake = _Awaited(clock), _Awaited(clock)
    wake.set_at = [3.0]
    ticks: list[float] = []

    def tick(_now: datetime) -> None:
        ticks.append(clock[0])
        clock[0] += 0.5
        if 2 <= len(ticks) <= 4:
            wake.set()  # there is more to do: the next tick, after a rest
        if len(ticks) == 6:
            stop.set()

    monkeypatch.setattr("shared.daemon.loop.time.monotonic", lambda: clock[0])

    daemon.run_every(10.0, tick, stop, wake)

    assert ticks == [0.0, 3.0, 4.0, 5.0, 6.0, 16.0]


_BUSY_LOOP = """
import threading
from shared.daemon.loop import run_every
from shared.daemon.stop import stop_on_signals

stop, wake = threading.Event(), threading.Event()
stop_on_signals(stop, wake)

def tick(now):
    for _ in range(3000):
        wake.clear()
        wake.wait(0)
    wake.set()

print("up", flush=True)
run_every(1.0, tick, stop, wake)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no TERM there")
def test_a_signal_that_comes_while_an_event_is_being_set_still_stops_the_loop() -> None:
    """A handler that sets an event itself waits for ever for the lock of the code it interrupts:
    the daemon then neither works nor stops. A third of the tries ended so."""
    for _ in range(10):
        with subprocess.Popen([sys.executable, "-c", _BUSY_LOOP], stdout=subprocess.PIPE) as loop:
            assert loop.stdout is not None
            loop.stdout.readline()
            loop.terminate()
            try:
                assert loop.wait(30) == 0
            finally:
                loop.kill()
