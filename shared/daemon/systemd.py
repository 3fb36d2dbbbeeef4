"""Notify systemd of readiness and status, and ping its watchdog."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable

NOTIFY_TIMEOUT_S = 2.0


def notify(state: str) -> None:
    """Tell systemd "READY=1", "WATCHDOG=1", "STOPPING=1", "STATUS=…"; does nothing elsewhere."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or sys.platform == "win32":
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        # One that lives and does not listen has a full queue after a few words.
        sock.settimeout(NOTIFY_TIMEOUT_S)
        try:
            sock.sendto(state.encode(), address)
        except OSError:
            return  # the service manager went away; we go on


def watchdog_period_s() -> float | None:
    """How often to say WATCHDOG=1: half of what systemd waits. None: it does not wait for us."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        limit_us = int(os.environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return limit_us / 2e6 if limit_us > 0 else None


class WatchdogNotifier:
    """Feeds systemd's watchdog from a loop that calls as often as it likes. One thread calls.

    What stops calling is taken for stuck, and restarted.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._period_s = watchdog_period_s()
        self._due_at = clock()
        self._status: str | None = None

    def feed(self, status: str) -> None:
        """Say that the loop goes round, when that is due, and how it is, when that has changed."""
        states = []
        if self._period_s is not None and self._clock() >= self._due_at:
            self._due_at = self._clock() + self._period_s
            states.append("WATCHDOG=1")
        if status != self._status:
            self._status = status
            states.append(f"STATUS={status}")
        if states:
            notify("\n".join(states))
