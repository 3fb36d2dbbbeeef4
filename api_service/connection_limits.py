"""How many connections a worker keeps open, and what becomes of silent ones.

The server library accepts no connection beyond a number; whoever comes then waits until another
ends, also for health. So the number is large, and a connection ends on which no request comes.
"""

from __future__ import annotations

import sys
from contextlib import suppress

from granian.http import HTTP1Settings

MOST_CONNECTIONS = 4096
"""Of one worker. One that is idle takes about 10 KB."""

_DESCRIPTORS = 2 * MOST_CONNECTIONS


def http1_settings(idle_timeout_s: float) -> HTTP1Settings:
    """Close a connection on which no whole header has come for so long, the first or the next."""
    return HTTP1Settings(header_read_timeout=max(1, round(idle_timeout_s * 1000)))


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
