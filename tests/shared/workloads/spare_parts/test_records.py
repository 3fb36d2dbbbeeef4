"""Documents as real applications write them: what is understood, and what is refused and why."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.documents.time_policy import NoTime
from shared.documents.times import parse_day
from shared.workloads.spare_parts.records import (
    BAD_LINE,
    BAD_QUANTITY,
    DATE_FIELDS,
    PartLine,
    appointment_day,
    catalogue_entry,
    day_policy,
    identity,
    part_lines,
    says_complete,
)

UTC_ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
THE_DAY = date(2025, 11, 26)


def read_day(value: object, zone: ZoneInfo, day_first: bool | None = True) -> date | None:
    found = parse_day(value, day_policy(zone, day_first))
    return None if isinstance(found, NoTime) else found


def first_day(fields: dict[str, Any]) -> date | NoTime:
    return appointment_day(fields, day_policy(UTC_ZONE, day_first=True))


AT_TEN = datetime(2025, 11, 26, 10, tzinfo=UTC)

texts = st.text(st.characters(max_codepoint=0x17F), max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "quantity", "sku", "seconds", "$date", "0"]) | texts,
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("status", "is_complete"),
    [
        ("complete", True),
        ("COMPLETED", True),
        ("Service Completed", True),
        ("check-in complete", True),
        ("work_complete", True),
        ("serviceCompleted", True),
        ("incomplete", False),
        ("INCOMPLETE", False),
        ("uncompleted", False),
        ("Not completed", False),
        ("not yet completed", False),
        ("not_completed", False),
        ("to be completed", False),
        ("pending", False),
        ("", False),
        (None, False),
        (1, False),
        (["completed"], False),
    ],
)
def test_only_finished_work_counts_as_demand(status: object, is_complete: bool) -> None:
    """Parts of an unfinished appointment were planned, not used; "incomplete" holds "complete"."""
    assert says_complete(status) is is_complete


@pytest.mark.parametrize(
    "value",
    [
        "2025-11-26",
        " 2025-11-26 ",
        "2025-11-26T10:00:00Z",
        "2025-11-26T10:00:00.123456789Z",
        "2025-11-26T10:00:00+00:00",
        "2025-11-26 10:00:00",
        "2025-11-26 10:00 am",
        "20251126",
        "2025/11/26",
        "26.11.2025",
        "26/11/2025",
        "11/26/2025",
        "26-11-2025 10:00",
        "Wed, 26 Nov 2025 10:00:00 GMT",
        "Wed, 26 Nov 2025 10:00:00 -0000",
        "Wed Nov 26 2025 10:00:00 GMT+0530 (India Standard Time)",
        "November 26, 2025 at 10:00:00 AM UTC+5:30",
        "November 26, 2025 at 10:00:00 AM UTC",
        "26th Nov 2025",
        "26-Nov-2025",
        "1764151200",
        1764151200,
        1764151200.5,
        1764151200000,
        1764151200000000,
        {"seconds": 1764151200, "nanoseconds": 0},
        {"_seconds": 1764151200, "_nanoseconds": 0},
        {"$date": "2025-11-26T10:00:00Z"},
        {"$date": {"$numberLong": "1764151200000"}},
        AT_TEN,
        THE_DAY,
    ],
)
def test_a_date_is_understood_in_every_shape_that_applications_write(value: object) -> None:
    """One collection often holds several shapes, written by several versions of one client."""
    assert read_day(value, UTC_ZONE) == THE_DAY


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "soon",
        "2025-13-45",
        "0000-00-00",
        "99/99/2025",
        "Smarch 3, 2025",
        True,
        0,
        -5,
        2025,
        float("nan"),
        float("inf"),
        10**400,
        "1970-01-01",
        "9999-12-31",
        {},
        {"seconds": "x"},
        {"seconds": True},
        [],
        ["2025-11-26"],
    ],
)
def test_what_is_no_date_is_refused_instead_of_guessed(value: object) -> None:
    """A guessed date is demand on a day on which there was none."""
    assert read_day(value, UTC_ZONE) is None


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2026-03-28T22:59:59Z", date(2026, 3, 28)),
        ("2026-03-28T23:00:00Z", date(2026, 3, 29)),  # the night the clocks go forward
        ("2026-03-29T22:00:00Z", date(2026, 3, 30)),
        ("2026-10-25T22:59:59Z", date(2026, 10, 25)),  # the day has 25 hours
        ("2025-12-31T23:00:00Z", date(2026, 1, 1)),
        ({"seconds": 1767222000}, date(2026, 1, 1)),
        ("Wed, 31 Dec 2025 23:00:00 GMT", date(2026, 1, 1)),
        ("2025-12-31T23:30:00", date(2025, 12, 31)),
        ("2025-12-31T23:30:00-05:00", date(2025, 12, 31)),
        ("2025-12-31", date(2025, 12, 31)),
    ],
)
def test_a_moment_belongs_to_the_day_on_the_garage_s_own_calendar(value: object, day: date) -> None:
    """Late work stored in UTC would otherwise count for the wrong day, and the wrong weekday."""
    assert read_day(value, BERLIN) == day


def test_an_ambiguous_date_is_read_as_the_configuration_says() -> None:
    """03/04/2025 cannot be told from the text alone; 13/04/2025 can."""
    assert read_day("03/04/2025", UTC_ZONE, day_first=True) == date(2025, 4, 3)
    assert read_day("03/04/2025", UTC_ZONE, day_first=False) == date(2025, 3, 4)
    assert read_day("13/04/2025", UTC_ZONE, day_first=False) == date(2025, 4, 13)
    assert read_day("04/13/2025", UTC_ZONE, day_first=True) == date(2025, 4, 13)
    assert read_day("03/04/2025", UTC_ZONE, day_first=None) is None
    assert first_day({"date": "03/04/2025"}) == date(2025, 4, 3)


@pytest.mark.parametrize("field", DATE_FIELDS)
def test_each_of_the_five_date_fields_is_enough(field: str) -> None:
    """Which one is filled depends on how the appointment was made."""
    assert first_day({field: "2025-11-26"}) == THE_DAY


def test_the_first_date_field_that_can_be_read_wins() -> None:
    """createdAt is always there, but the work was done on the appointment's own date."""
    fields = {
        "createdAt": "2025-11-01T09:00:00Z",
        "completedDate": "2025-11-26",
        "date": "tbd",
        "appointmentDate": None,
    }

    assert first_day(fields) == THE_DAY


@pytest.mark.parametrize(
    ("spare_parts", "lines"),
    [
        (None, []),
        ([], []),
        ({}, []),
        ("", []),
        (7, []),
        ("[not json", []),
        ([{"name": "Oil filter", "quantity": 2}], [("Oil filter", 2.0)]),
        ([{"name": "  Oil   filter ", "quantity": "2"}], [("Oil filter", 2.0)]),
        ([{"name": "Oil filter", "quantity": "2 pcs"}], [("Oil filter", 2.0)]),
        ([{"name": "Engine oil", "quantity": "4,5"}], [("Engine oil", 4.5)]),
        ([{"name": "Oil filter", "qty": 3}], [("Oil filter", 3.0)]),
        ([{"name": "Oil filter"}], [("Oil filter", 1.0)]),
        ([{"name": "Oil filter", "quantity": None}], [("Oil filter", 1.0)]),
        ([{"name": "Oil filter", "quantity": 0}], [("Oil filter", 0.0)]),
        (["Oil filter", "Battery"], [("Oil filter", 1.0), ("Battery", 1.0)]),
        ("Oil filter", [("Oil filter", 1.0)]),
        ({"name": "Oil filter", "quantity": 2}, [("Oil filter", 2.0)]),
        ({"Oil filter": 2, "Battery": "1"}, [("Oil filter", 2.0), ("Battery", 1.0)]),
        ({"0": {"name": "Oil filter", "quantity": 2}}, [("Oil filter", 2.0)]),
        ({"0": "Oil filter"}, [("Oil filter", 1.0)]),
        ({"Oil filter": {"quantity": 2}}, [("Oil filter", 2.0)]),
        ('[{"name": "Oil filter", "quantity": 2}]', [("Oil filter", 2.0)]),
        ('"[{\\"name\\": \\"Oil filter\\"}]"', [("Oil filter", 1.0)]),
        ("[{'name': 'Oil filter', 'quantity': 2, 'note': None}]", [("Oil filter", 2.0)]),
        ('a:1:{i:0;a:1:{s:4:"name";s:10:"Oil filter";}}', []),
        ("[OEM] Oil filter", [("[OEM] Oil filter", 1.0)]),
        ([{"name": "Oil filter", "quantity": -1}], [("Oil filter", -1.0)]),
        ([{"name": "Oil\u200b filter", "quantity": "1 1/2 L"}], [("Oil filter", 1.5)]),
        ([{"name": "Oil filter", "quantity": "1,250"}], [BAD_QUANTITY]),
        ([{"name": "Oil filter", "quantity": float("nan")}], [BAD_QUANTITY]),
        ([{"name": "Oil filter", "quantity": float("inf")}], [BAD_QUANTITY]),
        ([{"name": "Oil filter", "quantity": 10**9}], [BAD_QUANTITY]),
        ([{"name": "Oil filter", "quantity": True}], [BAD_QUANTITY]),
        ([{"name": "Oil filter", "quantity": "many"}], [BAD_QUANTITY]),
        ([{"name": "Oil filter", "quantity": [2]}], [BAD_QUANTITY]),
        ([{"quantity": 2}], [BAD_LINE]),
        ([{"name": "  ", "quantity": 2}], [BAD_LINE]),
        ([None, 5, ["x"], ""], [BAD_LINE, BAD_LINE, BAD_LINE, BAD_LINE]),
    ],
)
def test_part_lines_are_read_in_every_shape_and_refused_with_a_reason(
    spare_parts: object, lines: list[Any]
) -> None:
    """One odd line must not cost the appointment, nor turn into a demand of a billion filters."""
    found = list(part_lines({"spareParts": spare_parts}))

    shown = [(line.name, line.pieces) if isinstance(line, PartLine) else line for line in found]
    assert shown == lines


def test_a_line_with_only_a_sku_is_kept_for_the_catalogue_to_name() -> None:
    """Scanners write the sku and nothing else."""
    assert list(part_lines({"spareParts": [{"sku": "OF-101", "quantity": 2}]})) == [
        PartLine(name="", sku="OF-101", pieces=2.0)
    ]


@pytest.mark.parametrize(
    "fields", [{}, {"name": None}, {"name": "   "}, {"name": ["x"]}, {"sku": "OF-101"}]
)
def test_a_catalogue_document_without_a_name_is_no_entry(fields: dict[str, Any]) -> None:
    """Half-filled forms are saved as documents too."""
    assert catalogue_entry(fields) is None


@pytest.mark.parametrize("price", [None, "on request", "1,299", float("nan"), 10**400, -1, True])
def test_an_odd_price_does_not_cost_the_catalogue_entry(price: object) -> None:
    """The forecast needs the name; the price is a courtesy."""
    entry = catalogue_entry({"name": "Oil filter", "price": price})

    assert entry == {"name": "Oil filter", "sku": None, "price": None}


def test_spellings_of_one_part_are_one_part() -> None:
    """People type; "oil  FILTER" split from "Oil filter" would halve both forecasts."""
    assert identity(" oil  FILTER") == identity("Oil filter")


@settings(deadline=None)
@given(fields=st.dictionaries(st.sampled_from([*DATE_FIELDS, "status"]), json_values))
def test_no_document_makes_the_date_reader_raise(fields: dict[str, Any]) -> None:
    """One document that raises would stop training for good, since it never goes away."""
    day = appointment_day(fields, day_policy(BERLIN, day_first=True))

    assert isinstance(day, NoTime) or 2000 <= day.year <= 2099


@settings(deadline=None)
@given(spare_parts=json_values)
def test_no_document_makes_the_line_reader_raise_or_invent_pieces(spare_parts: object) -> None:
    """Whatever comes out can be added up: finite, not too large, and named."""
    for line in part_lines({"spareParts": spare_parts}):
        if isinstance(line, PartLine):
            assert -10_000 <= line.pieces <= 10_000
            assert line.name or line.sku


@settings(deadline=None)
@given(
    moment=st.datetimes(
        min_value=datetime(2000, 1, 3), max_value=datetime(2099, 12, 28), timezones=st.just(UTC)
    )
)
def test_all_shapes_of_one_moment_mean_the_same_day(moment: datetime) -> None:
    """The same appointment read from SQL, from an export or from a timestamp object."""
    moment = moment.replace(microsecond=0)
    seconds = int(moment.timestamp())
    shapes: list[object] = [
        moment,
        moment.isoformat(),
        moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        moment.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        {"seconds": seconds, "nanoseconds": 999},
    ]
    if seconds >= 1e9:
        shapes += [seconds, seconds * 1000, str(seconds)]

    days = {read_day(shape, BERLIN) for shape in shapes}

    assert days == {moment.astimezone(BERLIN).date()}


@settings(deadline=None)
@given(day=st.dates(min_value=date(2000, 1, 1), max_value=date(2099, 12, 31)))
def test_a_written_day_is_that_day_in_every_time_zone(day: date) -> None:
    """A bare date has no time zone; shifting it would move Monday's work to Sunday."""
    for zone in (UTC_ZONE, BERLIN, ZoneInfo("Pacific/Kiritimati"), ZoneInfo("America/Los_Angeles")):
        for text in (day.isoformat(), day.strftime("%d.%m.%Y"), f"{day}T23:30:00"):
            assert read_day(text, zone) == day
    assert read_day(datetime.combine(day, datetime.min.time()), BERLIN) == day
    assert read_day(day.strftime("%d %b %Y"), BERLIN) == day
