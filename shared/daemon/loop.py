"""The periodic loop of a daemon: call a tick until a stop event is set.

Knows nothing of models. A signal handler only records; the loop acts.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

# On Windows a signal's handler runs only when the main thread's wait is over.
_LONGEST_WAIT_S = 0.5 if sys.platform == "win32" else 3600.0


def utc_now() -> datetime:
    """The one place where daemons read the wall clock."""
    return datetime.now(UTC)


def close_new_files() -> None:
    """Let no file of this process, or of one that it starts, be writable for other users."""
    os.umask(os.umask(0o077) | 0o022)


def run_every(
    period_s: float,
    tick: Callable[[datetime], None],
    stop: threading.Event,
    wake: threading.Event | None = None,
) -> None:
    """Call `tick(now)` every `period_s`, measured from the start of the tick, until `stop`.

    A tick that takes longer than the period is followed by the next at once; none is made up for.

    Args:
        wake: set by anyone, also by a tick, to have the next tick early; whoever sets `stop` sets
            it too. Before that the loop rests as long as the tick took, so that to be woken
            without end costs half of a core.
    """
    awaited = stop if wake is None else wake
    while not stop.is_set():
        if wake is not None:
            wake.clear()  # before the tick, which looks at what it was set for
        started = time.monotonic()
        tick(utc_now())
        took_s = time.monotonic() - started
        while not (awaited.is_set() or stop.is_set()):
            left_s = period_s - (time.monotonic() - started)
            if left_s <= 0:
                break
            awaited.wait(min(left_s, _LONGEST_WAIT_S))
        rest_s = min(2 * took_s, period_s) - (time.monotonic() - started)
        if rest_s > 0:
            stop.wait(min(rest_s, _LONGEST_WAIT_S))
