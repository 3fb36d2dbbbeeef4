"""Put a worker's threads under Linux's batch policy, so that they do not interrupt each other.

A request wakes the server's own thread once or twice, and Linux lets a thread that wakes up
interrupt the running one. With two threads per request, that was a third of a request's cost.
Threads under the batch policy begin when the running thread has nothing more to do, by then with
several requests, or when its slice of a few milliseconds is over.
"""

from __future__ import annotations

import os
import sys


def use_batch_scheduling() -> bool:
    """Put this thread, and all that it starts from now on, under the batch policy.

    Returns:
        False where there is no such policy, or a service manager forbids to choose one; it may
        have chosen it itself.
    """
    if sys.platform != "linux":
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError:
        return False
    return True
