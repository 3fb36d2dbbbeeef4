"""Give out commit and read times that follow the clock and never go back.

Times inside the server are whole microseconds since 1970 in UTC (``*_us``), the precision that
Firestore stores. Not thread-safe: the store calls it under its own lock.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from .messages import TimestampPb

Clock = Callable[[], datetime]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def utc_now() -> datetime:
    return datetime.now(UTC)


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 of a time-zone-aware `moment`; ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"expected a time with a time zone, found {moment!r}")
    return (moment - _EPOCH) // _MICROSECOND


def us_from_pb(timestamp: TimestampPb) -> int:
    """Microseconds since 1970; finer digits are rounded down, as on being stored."""
    return int(timestamp.seconds) * 1_000_000 + int(timestamp.nanos) // 1_000


def us_to_pb(time_us: int) -> TimestampPb:
    seconds, micros = divmod(time_us, 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1_000)


class Timeline:
    """Commit times are strictly increasing and later than every read time given out before."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._last_us = 0

    def clock_us(self) -> int:
        """What the clock says now, even if it was set back."""
        return to_us(self.clock())

    def read_us(self) -> int:
        self._last_us = max(self._last_us, self.clock_us())
        return self._last_us

    def commit_us(self) -> int:
        self._last_us = max(self._last_us + 1, self.clock_us())
        return self._last_us
