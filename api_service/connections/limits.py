"""Determine how many connections one worker accepts.

The server library accepts no connection beyond a number; further clients wait until another
connection ends, health checks included. So the number is large, and idle ones are closed
(idle.py).
"""

from __future__ import annotations

import sys
from contextlib import suppress

MOST_CONNECTIONS = 4096
"""Of one worker. One that is idle takes about 10 KB."""

_DESCRIPTORS = 2 * MOST_CONNECTIONS


def most_connections() -> int:
    """Raise this process's limit of descriptors, which workers inherit, and say what it allows."""
    if sys.platform == "win32":
        return MOST_CONNECTIONS  # sockets are no descriptors there
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _DESCRIPTORS:
        wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
        with suppress(OSError, ValueError):  # a system with a limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    # A quarter is left for files, models and what a request opens.
    return max(1, min(MOST_CONNECTIONS, soft * 3 // 4))
