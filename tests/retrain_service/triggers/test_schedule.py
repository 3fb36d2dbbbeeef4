"""Moments by the local clock: what a person expects of 02:00 when the clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_service.triggers.schedule import cron_moment, interval_moment, next_opening
from shared.errors import SettingsInvalid
from shared.settings.root import load_settings

# Gaps of an hour and of half an hour, at two, at one, at midnight and nowhere; both hemispheres.
ZONES = [
    "Africa/Cairo",
    "America/Havana",
    "America/New_York",
    "America/Santiago",
    "Asia/Beirut",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Istanbul",
    "UTC",
]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def moments(expression: str, zone: str, after: str, n: int) -> list[str]:
    """The next `n` as local times with their offset from UTC, e.g. "03-29 03:00+0200"."""
    found, at = [], utc(after)
    for _ in range(n):
        moment = cron_moment((expression,), zone, at)
        assert moment is not None
        at = moment[0]
        found.append(f"{at.astimezone(ZoneInfo(zone)):%m-%d %H:%M%z}")
    return found


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        # Spring: 02:30 does not exist; the run comes right after the gap, and no midnight is lost.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00",
            ["03-29 03:00+0200", "03-30 02:30+0200"],
        ),
        (
            "0 0 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00",
            ["03-29 00:00+0100", "03-30 00:00+0200", "03-31 00:00+0200"],
        ),
        # Autumn: 02:30 comes twice, the run once.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00",
            ["10-25 02:30+0200", "10-26 02:30+0100"],
        ),
        (
            "0 0 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00",
            ["10-25 00:00+0200", "10-26 00:00+0100", "10-27 00:00+0100"],
        ),
        # Asked in the second pass of the repeated hour: the first pass is over.
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10", ["10-26 02:30+0100"]),
        # Each hour is each hour that passes: 23 in spring, 25 in autumn.
        (
            "0 * * * *",
            "Europe/Berlin",
            "2026-03-29T00:00",
            ["03-29 03:00+0200", "03-29 04:00+0200"],
        ),
        (
            "0 * * * *",
            "Europe/Berlin",
            "2026-10-24T23:30",
            ["10-25 02:00+0200", "10-25 02:00+0100", "10-25 03:00+0100"],
        ),
        # Where midnight itself is left out or repeated.
        (
            "0 0 * * *",
            "Africa/Cairo",
            "2026-04-23T12:00",
            ["04-24 01:00+0300", "04-25 00:00+0300"],
        ),
        (
            "0 0 * * *",
            "America/Havana",
            "2026-10-31T12:00",
            ["11-01 00:00-0400", "11-02 00:00-0500"],
        ),
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00",
            ["10-04 02:30+1100", "10-05 02:15+1100"],
        ),
        # No change of clocks at all.
        ("0 2 * * *", "Europe/Istanbul", "2026-03-28T12:00", ["03-29 02:00+0300"]),
    ],
)
def test_cron_over_the_change_of_the_clocks(
    expression: str, zone: str, after: str, expected: list[str]
) -> None:
    """A nightly run that is lost in March or doubled in October is the classic of schedulers."""
    assert moments(expression, zone, after, len(expected)) == expected


def by_hand(zone: ZoneInfo, day: date, at: time) -> datetime:
    """The first minute of that local day that is not before `at`, looked for minute by minute."""
    local = datetime.combine(day, at)
    while True:
        moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) == local:
            return moment
        local += timedelta(minutes=1)


@given(
    zone=st.sampled_from(ZONES),
    at=st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    start=st.datetimes(datetime(2025, 1, 1), datetime(2026, 12, 1), timezones=st.just(UTC)),
)
def test_a_daily_moment_is_the_one_found_by_hand(zone: str, at: time, start: datetime) -> None:
    """Whatever the zone, the time of day and where the clock stands when it is asked."""
    found = cron_moment((f"{at.minute} {at.hour} * * *",), zone, start)

    assert found is not None
    first = start.astimezone(ZoneInfo(zone)).date() - timedelta(days=1)
    days = [first + timedelta(days=i) for i in range(4)]
    assert found[0] == min(m for day in days if (m := by_hand(ZoneInfo(zone), day, at)) > start)


@given(
    zone=st.sampled_from(ZONES),
    expression=st.sampled_from(
        ["*/20 * * * *", "5 */3 * * *", "0 2 * * 1", "30 1,2 L * *", "0 0 1 * *", "* 2 * * *"]
    ),
    start=st.datetimes(datetime(2026, 1, 1), datetime(2026, 11, 20), timezones=st.just(UTC)),
)
def test_moments_only_go_forward(zone: str, expression: str, start: datetime) -> None:
    """A moment that is not after the one before would be answered for ever and come for ever."""
    at = start

    for _ in range(30):
        found = cron_moment((expression,), zone, at)
        assert found is not None
        assert found[0] > at
        at = found[0]


def test_of_several_expressions_the_next_one_counts() -> None:
    """Weekdays at noon and Sundays in the night are two lines of one list."""
    expressions = ("0 12 * * 1-5", "0 3 * * 0")

    assert cron_moment(expressions, "UTC", utc("2026-11-20T12:00")) == (
        utc("2026-11-22T03:00"),
        "0 3 * * 0",
    )
    assert cron_moment((), "UTC", utc("2026-11-20T12:00")) is None


@given(
    zone=st.sampled_from(ZONES),
    days=st.integers(1, 9),
    start=st.datetimes(datetime(2026, 1, 1), datetime(2026, 11, 1), timezones=st.just(UTC)),
)
def test_an_interval_of_days_stays_at_its_time_of_day(
    zone: str, days: int, start: datetime
) -> None:
    """Every 24 h that wanders by an hour twice a year ends up in the working day."""
    moment = interval_moment(timedelta(days=days), zone, start, start)

    local = start.astimezone(ZoneInfo(zone))
    expected = local.replace(tzinfo=None, second=0, microsecond=0) + timedelta(days=days)
    found = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    gap = timedelta(0) if found == expected else timedelta(hours=1)
    assert expected <= found <= expected + gap


def test_an_interval_of_days_does_not_wander_with_the_loops_delay() -> None:
    """A second late each day is six minutes a year."""
    at = utc("2026-01-01T02:00:01")

    for _ in range(365):
        at = interval_moment(timedelta(days=1), "UTC", at, at) + timedelta(seconds=1)

    assert at == utc("2027-01-01T02:00:01")


def test_a_short_interval_counts_the_time_that_passes() -> None:
    """Every 6 h means six hours, also in the night in which the clocks change."""
    start = utc("2026-03-28T23:30:10")

    assert interval_moment(timedelta(hours=6), "Europe/Berlin", start, start) == utc(
        "2026-03-29T05:30:10"
    )


def test_moments_that_passed_are_left_out() -> None:
    """What a run's duration has swallowed is not made up for one by one."""
    start = utc("2026-03-28T00:00")

    assert interval_moment(
        timedelta(minutes=10), "UTC", start, start + timedelta(minutes=35)
    ) == start + timedelta(minutes=40)
    assert interval_moment(
        timedelta(days=1), "Europe/Berlin", start, start + timedelta(days=3, hours=1)
    ) == utc("2026-03-31T23:00")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("cron = '0 25 * * *'", "triggers.cron: '0 25 * * *': bad hour"),
        ("cron = '0 2 * *'", "triggers.cron: expected minute, hour, day of the month"),
        ("cron = '0 0 2 * * *'", "triggers.cron: expected minute, hour, day of the month"),
        ("cron = ['0 2 * * *', 'noon']", "triggers.cron: expected minute, hour"),
        ("cron = '0 0 30 2 *'", "triggers.cron: '0 0 30 2 *': bad day-of-month"),
        ("cron = 5", "triggers.cron"),
        ("time_zone = 'Berlin'", "triggers.time_zone: expected an IANA time zone"),
        ("time_zone = '../../etc/passwd'", "triggers.time_zone: expected an IANA time zone"),
        ("time_zone = ''", "triggers.time_zone: expected an IANA time zone"),
        ("debounce = '1h'", "max_wait: expected at least as much as debounce (3600 s)"),
        ("every = -5", "triggers.every"),
        ("overlap = 'maybe'", "triggers.overlap"),
        ("max_runs_per_day = -1", "triggers.max_runs_per_day"),
    ],
)
def test_a_wrong_schedule_is_named_at_the_start(tmp_path: Path, line: str, sentence: str) -> None:
    """A cron line that never comes is found out months later, or at the start."""
    config = tmp_path / "hotfit.toml"
    config.write_text(
        "[sources.s]\nkind='sql'\nurl='sqlite://'\n[models.m]\nworkload='w'\nsource='s'\n"
        f"[models.m.triggers]\n{line}\n"
    )

    with pytest.raises(SettingsInvalid) as refused:
        load_settings(config)

    assert "hotfit.toml: models.m.triggers" in str(refused.value)
    assert sentence in str(refused.value)


def test_one_cron_expression_or_a_list_of_them(tmp_path: Path) -> None:
    """Most people have one line; nobody should have to write brackets for it."""
    config = tmp_path / "hotfit.toml"
    text = "[sources.s]\nkind='sql'\nurl='sqlite://'\n[models.m]\nworkload='w'\nsource='s'\n"

    for line, expected in [
        ("cron = '0 2 * * *'", ("0 2 * * *",)),
        ("cron = ['0 2 * * MON-FRI', '0 4 * * SUN']", ("0 2 * * MON-FRI", "0 4 * * SUN")),
    ]:
        config.write_text(f"{text}[models.m.triggers]\n{line}\n")
        assert load_settings(config).models["m"].triggers.cron == expected


@pytest.mark.parametrize(
    ("hours", "zone", "now", "expected"),
    [
        (("22:00-06:00",), "UTC", "2026-11-21T23:00", None),
        (("22:00-06:00",), "UTC", "2026-11-21T05:59", None),
        (("22:00-06:00",), "UTC", "2026-11-21T06:00", "2026-11-21T22:00"),
        (("22:00-24:00",), "UTC", "2026-11-21T00:00", "2026-11-21T22:00"),
        (("02:00-03:00", "12:30-13:00"), "UTC", "2026-11-21T03:00", "2026-11-21T12:30"),
        (("02:00-03:00", "12:30-13:00"), "UTC", "2026-11-21T13:00", "2026-11-22T02:00"),
        # By the local clock: 22:00 in Berlin is 21:00 UTC in winter and 20:00 in summer.
        (("22:00-06:00",), "Europe/Berlin", "2026-11-21T20:59", "2026-11-21T21:00"),
        (("22:00-06:00",), "Europe/Berlin", "2026-07-21T19:59", "2026-07-21T20:00"),
        # 02:00 to 03:00 does not exist on the day of the change to summer time.
        (("02:00-03:00",), "Europe/Berlin", "2026-03-29T00:30", "2026-03-29T01:00"),
        (("02:00-03:00",), "Europe/Berlin", "2026-03-29T01:00", "2026-03-30T00:00"),
        # It comes twice in autumn, and both are within it.
        (("02:00-03:00",), "Europe/Berlin", "2026-10-25T00:30", None),
        (("02:00-03:00",), "Europe/Berlin", "2026-10-25T01:30", None),
    ],
)
def test_quiet_hours_begin_by_the_local_clock(
    hours: tuple[str, ...], zone: str, now: str, expected: str | None
) -> None:
    """Trainings are for the night of the people who work there."""
    opening = next_opening(hours, zone, utc(now))

    assert opening == (None if expected is None else utc(expected))


@pytest.mark.parametrize(
    "text",
    ["22-6", "22:00", "25:00-26:00", "06:00-06:00", "00:00-24:00", "22:00-06:60", "24:00-01:00"],
)
def test_hours_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    """At the start, and not in the night in which nothing is trained."""
    path = tmp_path / "hotfit.toml"
    path.write_text(
        f'[sources.s]\nkind = "feed"\n[models.m]\nsource = "s"\nworkload = "tabular"\n'
        f'[models.m.triggers]\nquiet_hours = "{text}"\n'
    )

    with pytest.raises(SettingsInvalid, match=r'hours of a day such as "22:00-06:00"'):
        load_settings(path)
