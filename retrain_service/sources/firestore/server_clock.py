"""Estimate the Firestore server's clock from its answers. Does no I/O."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

_JUMP_S = 1.0
_GOOD_FOR_S = 3600.0
_SLACK = timedelta(seconds=2)


class ServerClock:
    """How far the server's clock is ahead of this machine's; unknown until an answer told."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._ahead: timedelta | None = None
        self._learnt_at = (0.0, clock())

    def learn(self, read_time: datetime) -> None:
        """Take in the read time of an answer that has just arrived.

        It was sent a moment ago, so our idea of the server's time is late, never early.
        """
        now = self._clock()
        self._ahead = read_time - now
        self._learnt_at = (time.monotonic(), now)

    def newest_allowed(self, lag: timedelta) -> datetime | None:
        """The server's time minus the lag, to bound a query with; None when it is not known.

        With a lag below two seconds it is two seconds later: a document must not be left out
        for the network's delay, and the answer's own read time decides in the end.
        """
        if self._ahead is None:
            return None
        monotonic_s, wall = self._learnt_at
        now = self._clock()
        passed_s = time.monotonic() - monotonic_s
        has_jumped = abs((now - wall).total_seconds() - passed_s) > _JUMP_S
        if has_jumped or passed_s > _GOOD_FOR_S:
            # Set by someone, asleep, or drifting: what was learnt is not relied on any more.
            self._ahead = None
            return None
        return now + self._ahead - lag + (_SLACK if lag < _SLACK else timedelta(0))
