"""Tell whether the process that wrote a report still runs. Knows no report and no directory.

A process number means something on its own host only. A container is a host of its own, with a
new name each time it is made: what wrote from another host is judged by its heartbeat.
"""

from __future__ import annotations

import socket
from datetime import datetime, timedelta

import psutil

SILENT_ELSEWHERE = timedelta(minutes=5)
"""So long without a heartbeat (every few seconds), and a process of another host is gone."""

_CLOCK_SLACK_S = 2.0


def is_here(host: str) -> bool:
    """Whether process numbers of that host can be looked up."""
    return host == socket.gethostname()


def still_runs(
    host: str,
    pid: int,
    *,
    started_at: datetime,
    updated_at: datetime,
    now: datetime,
    silent_elsewhere: timedelta = SILENT_ELSEWHERE,
) -> bool:
    """Whether it runs: here by its process, elsewhere by its heartbeat.

    started_at, updated_at : as it reported them, UTC.
    """
    if not is_here(host):
        return now - updated_at <= silent_elsewhere
    try:
        started = psutil.Process(pid).create_time()
    except psutil.Error:
        return False
    # A later process may have got the same number.
    return started <= started_at.timestamp() + _CLOCK_SLACK_S
