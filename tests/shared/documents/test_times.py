"""Times of foreign documents: one table of what is read, and of what is refused and why."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared.documents.time_columns import column_times
from shared.documents.time_policy import NoTime, TimePolicy
from shared.documents.times import (
    means_never,
    parse_time,
    read_day,
    read_moment,
    why_no_time,
)

TEN = "2025-11-26T10:00:00+00:00"
BERLIN = ZoneInfo("Europe/Berlin")
DENVER = ZoneInfo("America/Denver")

READ: list[tuple[Any, str]] = [
    ("2025-11-26T10:00:00Z", TEN),
    ("2025-11-26 10:00:00", TEN),
    ("2025-11-26T10:00:00.000000000Z", TEN),
    ("2025-11-26 10:00:00 UTC", TEN),
    ("2025-11-26 10:00:00 +0000 UTC", TEN),
    ("2025-11-26 10:00:00.000 Z", TEN),
    ("2025-11-26T11:00:00+01", TEN),
    ("2025-11-26T15:30:00+0530", TEN),
    ("2025-11-26 02:00:00.000 -08:00", TEN),
    ("2025-11-26T05:00:00\u221205:00", TEN),
    ("2025-11-26T11:00:00+01:00[Europe/Berlin]", TEN),
    ("2025-11-26 11:00:00 Europe/Berlin", TEN),
    ("2025-11-26 11:00 CET", TEN),
    ("2025-11-26 05:00 EST", TEN),
    ("20251126T100000Z", TEN),
    ("20251126100000", TEN),
    (20251126100000, TEN),
    ("2025-11-26T10:0:0Z", TEN),
    ("2025/11/26 10:00:00", TEN),
    ("26.11.2025 10:00", TEN),
    ("26/11/2025 10:00", TEN),
    ("11/26/2025, 10:00:00 AM", TEN),
    ("Wed, 26 Nov 2025 10:00:00 GMT", TEN),
    ("Wed, 26 Nov 2025 10:00:00 -0000", TEN),
    ("Wed Nov 26 2025 15:30:00 GMT+0530 (India Standard Time)", TEN),
    ("Wed Nov 26 10:00:00 UTC 2025", TEN),
    ("26/Nov/2025:10:00:00 +0000", TEN),
    ("November 26, 2025 at 10:00:00 AM UTC", TEN),
    ("2025年11月26日 10:00", TEN),
    ("２０２５-１１-２６ １０:００", TEN),
    ("\u200e2025-11-26 10:00\u200b", TEN),
    ("/Date(1764151200000)/", TEN),
    (1764151200, TEN),
    (1764151200.0, TEN),
    (1764151200_000, TEN),
    (1764151200_000_000, TEN),
    (1764151200_000_000_000, TEN),
    ("1764151200", TEN),
    ("1764151200000", TEN),
    ({"seconds": 1764151200, "nanoseconds": 0}, TEN),
    ({"seconds": "1764151200", "nanos": 0}, TEN),
    ({"_seconds": 1764151200, "_nanoseconds": 999}, TEN),
    ({"__datatype__": "timestamp", "value": {"_seconds": 1764151200, "_nanoseconds": 0}}, TEN),
    ({"timestampValue": "2025-11-26T10:00:00Z"}, TEN),
    ({"$date": "2025-11-26T10:00:00Z"}, TEN),
    ({"$date": 1764151200000}, TEN),
    ({"$date": {"$numberLong": "1764151200000"}}, TEN),
    ({"$timestamp": {"t": 1764151200, "i": 7}}, TEN),
    ({"__type": "Date", "iso": "2025-11-26T10:00:00.000Z"}, TEN),
    ({"date": "2025-11-26 11:00:00.0", "timezone_type": 3, "timezone": "Europe/Berlin"}, TEN),
    ([2025, 11, 26, 10, 0], TEN),
    (datetime(2025, 11, 26, 10, tzinfo=UTC), TEN),
    ("2025-11-25T24:00:00Z", "2025-11-26T00:00:00+00:00"),
    ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00"),
    ("2025-11-26", "2025-11-26T00:00:00+00:00"),
    (20251126, "2025-11-26T00:00:00+00:00"),
]

REFUSED: list[tuple[Any, NoTime]] = [
    (None, NoTime.MISSING),
    ("", NoTime.MISSING),
    ("NaT", NoTime.MISSING),
    (float("nan"), NoTime.MISSING),
    ("infinity", NoTime.NEVER),
    ("-infinity", NoTime.NEVER),
    ("0000-00-00 00:00:00", NoTime.NEVER),
    ("0001-01-01T00:00:00Z", NoTime.NEVER),
    ("9999-12-31 23:59:59", NoTime.NEVER),
    ("1970-01-01T00:00:00Z", NoTime.NEVER),
    (0, NoTime.NEVER),
    ("0", NoTime.NEVER),
    (253402300799, NoTime.NEVER),
    (253402300799000, NoTime.NEVER),
    (-62135596800, NoTime.NEVER),
    (-62135596800000, NoTime.NEVER),
    ({"seconds": 253402300799}, NoTime.NEVER),
    ("03/04/2025", NoTime.AMBIGUOUS),
    ("03-04-2025 10:00", NoTime.AMBIGUOUS),
    ("2025-11-26 10:00 IST", NoTime.ZONE),
    ("2025-11-26 10:00 Mars/Olympus", NoTime.ZONE),
    (-5, NoTime.OUT_OF_RANGE),
    (2025, NoTime.OUT_OF_RANGE),
    (45987.5, NoTime.OUT_OF_RANGE),
    ("1985-01-01", NoTime.OUT_OF_RANGE),
    ("soon", NoTime.UNREADABLE),
    ("2025-13-45", NoTime.UNREADABLE),
    ("2025-11-26 25:00", NoTime.UNREADABLE),
    ("Smarch 3, 2025", NoTime.UNREADABLE),
    (True, NoTime.UNREADABLE),
    ({}, NoTime.UNREADABLE),
    ({"seconds": True}, NoTime.UNREADABLE),
    ([], NoTime.UNREADABLE),
    (["2025-11-26"], NoTime.UNREADABLE),
]


def test_a_time_is_read_in_every_form_that_programs_write() -> None:
    """One reader for all workloads and sources: what one of them understands, all do."""
    found = [(value, read_moment(value)) for value, _ in READ]

    assert [(value, at and at.isoformat()) for value, at in found] == READ


def test_what_is_no_time_is_refused_with_its_reason() -> None:
    """A person repairs "a date that can be read two ways" in another place than "no value"."""
    assert [(value, why_no_time(value)) for value, _ in REFUSED[4:]] == REFUSED[4:]
    assert all(why_no_time(value) is reason for value, reason in REFUSED)


@pytest.mark.parametrize(
    ("policy", "value", "expected"),
    [
        (TimePolicy(time_zone=BERLIN), "2025-11-26 11:00:00", TEN),
        (TimePolicy(time_zone=ZoneInfo("Asia/Kolkata")), "2025-11-26 15:30:00 IST", TEN),
        (TimePolicy(time_zone=ZoneInfo("Europe/London")), "2025-06-01 11:00 BST",
         "2025-06-01T10:00:00+00:00"),
        (TimePolicy(format="%d.%m.%y %H:%M"), "26.11.25 10:00", TEN),
        (TimePolicy(format="%d.%m.%y %H:%M"), "2025-11-26T10:00:00Z", NoTime.UNREADABLE),
        (TimePolicy(day_first=False), "03/04/2025", "2025-03-04T00:00:00+00:00"),
        (TimePolicy(day_first=True), "03/04/2025", "2025-04-03T00:00:00+00:00"),
        (TimePolicy(unit="excel"), 45987.416666666664, TEN),
        (TimePolicy(unit="ms"), 1764151200000, TEN),
        (TimePolicy(unit="s"), 1764151200000, NoTime.NEVER),
        (TimePolicy(takes_days=False), "2025-11-26", NoTime.DAY_ALONE),
        # The clock of Denver skips 02:30 in March and shows 01:30 twice in November.
        (TimePolicy(time_zone=DENVER), "2026-03-08T02:30:00", NoTime.SKIPPED),
        (TimePolicy(time_zone=DENVER, shifts_skipped=True), "2026-03-08T02:30:00",
         "2026-03-08T09:30:00+00:00"),
        (TimePolicy(time_zone=DENVER), "2026-11-01T01:30:00", "2026-11-01T07:30:00+00:00"),
        (TimePolicy(time_zone=DENVER), "2026-11-01T01:30:00-07:00", "2026-11-01T08:30:00+00:00"),
    ],
)  # fmt: skip
def test_what_a_value_does_not_say_the_policy_says(
    policy: TimePolicy, value: object, expected: object
) -> None:
    """Zone, order of day and month, unit: never guessed from one value."""
    found = parse_time(value, policy)
    moment = read_moment(value, policy)

    assert (found if isinstance(found, NoTime) else moment and moment.isoformat()) == expected


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2026-03-28T23:00:00Z", date(2026, 3, 29)),
        (1767222000, date(2026, 1, 1)),
        ("2025-12-31T23:30:00", date(2025, 12, 31)),
        ("2025-12-31T23:30:00-05:00", date(2025, 12, 31)),
        ("2025-12-31 23:30:00 UTC", date(2026, 1, 1)),
        ("2026-03-29T02:30:00", date(2026, 3, 29)),
        ("9999-12-31", None),
    ],
)
def test_a_day_is_the_one_that_the_writer_saw(value: object, day: date | None) -> None:
    """A moment in UTC moves to the place's calendar; " UTC" behind a text counts as much as Z."""
    assert read_day(value, TimePolicy(time_zone=BERLIN)) == day


@pytest.mark.parametrize(
    ("values", "day_first", "unit", "problem", "n_ambiguous", "remark"),
    [
        (["03/04/2025", "13/04/2025"], True, "", "", 0, ""),
        (["03/04/2025", "04/13/2025"], False, "", "", 0, ""),
        (["03/04/2025", "05/05/2025"], None, "", "of March or of April", 1, ""),
        (["13/04/2025", "04/13/2025", "03/04/2025"], None, "",
         "days first (1) and months first (1)", 1, ""),
        (["2025-04-03", None, 7], None, "", "", 0, ""),
        ([45987 + i / 4 for i in range(20)], None, "excel", "", 0, ""),
        ([1764151200 + i for i in range(9)] + [1764151200000], None, "", "", 0,
         "seconds (9), milliseconds (1)"),
    ],
)  # fmt: skip
def test_a_column_says_what_one_value_does_not(
    values: list[object],
    day_first: bool | None,
    unit: str,
    problem: str,
    n_ambiguous: int,
    remark: str,
) -> None:
    """Learnt once from many values; what stays unclear is asked for with the setting."""
    found = column_times(values)

    assert (found.policy.day_first, found.policy.unit) == (day_first, unit)
    assert found.n_ambiguous == n_ambiguous
    assert problem in found.problem
    assert bool(problem) == bool(found.problem)
    assert remark in found.remark
    assert bool(remark) == bool(found.remark)


def test_a_tombstone_with_a_zero_time_is_none() -> None:
    """Go, .NET and MySQL write a zero time where nothing was deleted."""
    alive = [
        "0001-01-01T00:00:00Z",
        "0000-00-00 00:00:00",
        0,
        "0",
        None,
        "",
        "1970-01-01T00:00:00Z",
    ]

    assert all(means_never(value) for value in alive)
    assert not any(
        means_never(value) for value in ("2026-11-20T10:00:00Z", 1764151200, "yes", True)
    )
