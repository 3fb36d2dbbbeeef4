"""Times of records: exact, and the same on every system."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared import records
from shared.records import from_epoch_us, to_epoch_us


class _DatetimeOfWindows(datetime):
    """As Windows' C library has it: no time before 1970."""

    @classmethod
    def fromtimestamp(cls, timestamp: float, tz: object = None) -> datetime:  # type: ignore[override]
        if timestamp < 0:
            raise OSError(22, "Invalid argument")
        return datetime.fromtimestamp(timestamp, UTC)


@pytest.mark.parametrize(
    "at",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 11, 21, 8, 30, 0, 123_457, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
)
def test_a_time_survives_the_way_to_microseconds_and_back(
    at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source starts to read at a time long before 1970; on Windows that ended every poll."""
    monkeypatch.setattr(records, "datetime", _DatetimeOfWindows)

    assert from_epoch_us(to_epoch_us(at)) == at
