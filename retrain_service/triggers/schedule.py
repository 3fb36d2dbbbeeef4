"""Compute the due times of cron expressions and intervals in a local time zone. Pure.

Knows no model and no run. All times that come in and go out are UTC; the local clock of an
IANA time zone is used in between, so that 02:00 stays 02:00 when the clocks change.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim

from shared.settings.values import parse_hours

DAY = timedelta(days=1)


def cron_moment(
    expressions: tuple[str, ...], time_zone: str, after: datetime
) -> tuple[datetime, str] | None:
    """The first moment after `after` that one of the expressions names, and that expression.

    A fixed hour that the change to summer time leaves out comes right after the gap; one that
    the change back brings twice comes the first time only. An expression whose minute or hour
    begins with a star follows the time that really passes. None: nothing for fifty years.
    """
    moments = [
        (moment, expression)
        for expression in expressions
        if (moment := _next(expression, time_zone, after.astimezone(UTC))) is not None
    ]
    return min(moments, default=None)


# The same question is asked at each tick until its answer has come.
@lru_cache(maxsize=4096)
def _next(expression: str, time_zone: str, after: datetime) -> datetime | None:
    for found in CronSim(expression, after.astimezone(ZoneInfo(time_zone))):
        moment = found.astimezone(UTC)
        # From within the repeated hour cronsim counts by the wall clock alone, and so begins
        # with moments of the first pass, which are over.
        if moment > after:
            return moment
    return None


def interval_moment(every: timedelta, time_zone: str, start: datetime, after: datetime) -> datetime:
    """The first of start + every, start + 2 · every, … that comes after `after`.

    Intervals of a day or more follow the local clock and count from the whole minute of
    `start`, so that a run each day stays at its time of day: over the change of the clocks, and
    over the second or so that the loop is late each time. Shorter ones count the time that
    really passes.
    """
    start, after = start.astimezone(UTC), max(after, start).astimezone(UTC)
    if every < DAY:
        return start + ((after - start) // every + 1) * every
    zone = ZoneInfo(time_zone)
    local = start.astimezone(zone).replace(second=0, microsecond=0, tzinfo=None, fold=0)
    passed = after.astimezone(zone).replace(tzinfo=None) - local
    n = max(1, passed // every)
    while (moment := _by_the_local_clock(local + n * every, zone)) <= after:
        n += 1
    return moment


def _by_the_local_clock(local: datetime, zone: ZoneInfo) -> datetime:
    """A time left out becomes the one as long after the gap; of two equal ones it is the first."""
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


def next_opening(hours: tuple[str, ...], time_zone: str, now: datetime) -> datetime | None:
    """When the next of these hours of the local day begins; None: `now` is within one of them.

    Hours that the change to summer time leaves out altogether have no part of that day.
    """
    zone = ZoneInfo(time_zone)
    local = now.astimezone(zone).replace(tzinfo=None)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    spans = [parse_hours(text) for text in hours]
    passed = local - midnight
    if any(first <= passed < last or first <= passed + DAY < last for first, last in spans):
        return None
    begins = [
        _by_the_local_clock(midnight + n * DAY + first, zone)
        for n in range(3)
        for first, _ in spans
    ]
    return min((begin for begin in begins if begin > now), default=None)
