"""How often somebody may try to sign in. Counts failures; knows no key and no page."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from datetime import datetime, timedelta

from shared.errors import AnswerClient

WINDOW = timedelta(minutes=1)
MOST_PER_ADDRESS = 5
MOST_IN_ALL = 30


class TooManyAttempts(AnswerClient):
    """Wait, then try again. retry_after_s : whole seconds."""

    status = 429
    title = "too many attempts to sign in"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            f"too many attempts to sign in with a wrong key; try again in {retry_after_s} s."
        )
        self.retry_after_s = retry_after_s


class Attempts:
    """Failed attempts of the last minute, by address and in all. Any thread may call it.

    Each worker counts its own: with n workers a guesser has n times as many.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of_address: defaultdict[str, deque[datetime]] = defaultdict(deque)
        self._all: deque[datetime] = deque()

    def check(self, address: str, now: datetime) -> None:
        """Raises TooManyAttempts when the limit is reached."""
        with self._lock:
            self._forget(now)
            for failures, most in (
                (self._of_address.get(address, deque()), MOST_PER_ADDRESS),
                (self._all, MOST_IN_ALL),
            ):
                if len(failures) >= most:
                    left_s = (failures[-most] + WINDOW - now).total_seconds()
                    raise TooManyAttempts(max(1, round(left_s)))

    def failed(self, address: str, now: datetime) -> None:
        """Somebody sent a key that is not valid."""
        with self._lock:
            self._of_address[address].append(now)
            self._all.append(now)

    def _forget(self, now: datetime) -> None:
        for address in list(self._of_address):
            if not _newest(self._of_address[address], now):
                del self._of_address[address]
        _newest(self._all, now)


def _newest(failures: deque[datetime], now: datetime) -> bool:
    """Drop what is older than the window; whether anything is left."""
    while failures and failures[0] <= now - WINDOW:
        failures.popleft()
    return bool(failures)
