"""A proposed time zone is one whose clock the records were written by, on the day of the look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from retrain_service.inspection.sample import StreamSample
from retrain_service.inspection.warnings import foreign_zone
from retrain_service.sources.base import Inspection
from retrain_service.sources.catalogue import Column
from shared.records import Record

WINTER = datetime(2026, 1, 15, 12, tzinfo=UTC)
SUMMER = datetime(2026, 7, 15, 12, tzinfo=UTC)


def sample(newest: datetime) -> StreamSample:
    """A record a minute, as a shop writes them."""
    records = [Record(str(i), newest - timedelta(minutes=i), {}) for i in range(30)]
    return StreamSample(Inspection(30, 0, newest), tuple(reversed(records)))


@pytest.mark.parametrize(
    ("now", "ahead_h", "zone"),
    [
        (WINTER, 1, "Europe/Berlin"),
        (SUMMER, 2, "Europe/Berlin"),
        (SUMMER, 1, "Europe/London"),
        (WINTER, -5, "America/New_York"),
        (SUMMER, -4, "America/New_York"),
        (WINTER, 5.5, "Asia/Kolkata"),
        (WINTER, 0, None),
        (WINTER, 20, None),
    ],
)
def test_the_zone_has_the_offset_of_that_day(now: datetime, ahead_h: float, zone: str) -> None:
    """Half the year a table of winter offsets would name the neighbour's clock."""
    found = sample(now + timedelta(hours=ahead_h))

    assert foreign_zone(found, now, None) == zone
    told = Column("updated_at", declared="timestamp with time zone")
    assert foreign_zone(found, now, told) is None
