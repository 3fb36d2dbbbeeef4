"""Count refused requests and connections, and log the counts at most every ten seconds.

Decides no refusal.
"""

from __future__ import annotations

import threading
import time
from collections import Counter

import structlog

log = structlog.get_logger()

LOG_INTERVAL_S = 10.0


class Refusals:
    """Counts by reason. Any thread may add to them."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._logged_s = -LOG_INTERVAL_S

    def add(self, reason: str, number: int = 1) -> None:
        """Count; the first, and every ten seconds those since, are a line of the log."""
        with self._lock:
            self._counts[reason] += number
            now_s = time.monotonic()
            if now_s < self._logged_s + LOG_INTERVAL_S:
                return
            self._logged_s, counts = now_s, dict(self._counts)
            self._counts.clear()
        log.warning(self._event, reasons=counts)
