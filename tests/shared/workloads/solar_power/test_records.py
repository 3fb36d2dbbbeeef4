"""What is read from device readings in the shapes that real databases hold."""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.workloads.solar_power import records as documents
from shared.workloads.solar_power.records import (
    CAME_AGAIN,
    DATED_LATER,
    NO_DEVICE,
    NO_POWER,
    NO_TIME,
    NOT_ONLINE,
    OTHER_DEVICE,
)
from shared.workloads.solar_power.workload import SolarPower
from tests.shared.workloads.roof import START, WRITTEN, reading, rows_of, table

DENVER = ZoneInfo("America/Denver")
MOMENT_US = 1_795_257_000_000_000  # 2026-11-21T10:30:00Z


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-21T10:30:00Z",
        "2026-11-21T10:30:00+00:00",
        "2026-11-21 16:00:00+05:30",
        "2026-11-21T16:00:00",
        " 2026-11-21 16:00:00.000 ",
        "20261121T103000Z",
        1_795_257_000,
        1_795_257_000.0,
        1_795_257_000_000,
        1_795_257_000_000_000,
        1_795_257_000_000_000_000,
        "1795257000",
        "1795257000000",
        {"seconds": 1_795_257_000, "nanoseconds": 0},
        {"_seconds": 1_795_257_000},
        {"$date": "2026-11-21T10:30:00Z"},
        {"$date": {"$numberLong": "1795257000000"}},
    ],
)
def test_a_moment_is_read_in_every_known_shape(value: object) -> None:
    """Firmwares differ; a moment without a zone is the clock of the place."""
    assert documents.read_time_us(value, ZoneInfo("Asia/Colombo")) == MOMENT_US


@pytest.mark.parametrize(
    "value",
    ["soon", "2026-11-21", "", "1998-01-01T00:00:00Z", 0, -5, True, None, [], {}, math.nan, 1e300],
)
def test_what_is_no_moment_is_refused_and_not_guessed(value: object) -> None:
    """A day alone would put all its readings on midnight; a reset clock says 1970."""
    assert documents.read_time_us(value, DENVER) is None


def test_the_hour_that_the_clock_skips_does_not_exist() -> None:
    """A naive time in it is a mistake of the writer; one hour of two would be wrong."""
    skipped = documents.read_time_us("2026-03-08T02:30:00", DENVER)
    before = documents.read_time_us("2026-03-08T01:59:00", DENVER)
    after = documents.read_time_us("2026-03-08T03:01:00", DENVER)

    assert skipped is None
    assert before is not None
    assert after is not None
    assert after - before == 120_000_000


def test_the_hour_that_the_clock_shows_twice_means_the_first_time() -> None:
    """Nothing in the document says which; times with an offset are not concerned."""
    first = documents.read_time_us("2026-11-01T01:30:00", DENVER)

    assert first == documents.read_time_us("2026-11-01T01:30:00-06:00", DENVER)


any_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=5,
)
odd_document = st.fixed_dictionaries(
    {},
    optional={
        "device_id": st.sampled_from(["a", "a", " a ", "b", 7, "", None, [1]]),
        "timestamp": st.builds(
            lambda at, zone: at.isoformat() + zone,
            st.datetimes(datetime(2026, 11, 1), datetime(2026, 11, 9)),
            st.sampled_from(["", "Z", "+05:30"]),
        )
        | any_json,
        "power": st.floats(-5, 500) | st.sampled_from(["12.5", "1,5 W", "n/a"]) | any_json,
        "lux": any_json,
        "fan_status": st.sampled_from(["ON", "off", True, 1, 0, "auto", None]) | any_json,
        "status": st.sampled_from(["online", "ONLINE ", "offline", None]) | any_json,
        "extra": any_json,
    },
)


@settings(deadline=None, max_examples=150)
@given(st.lists(odd_document, max_size=25))
def test_no_document_stops_the_others_and_each_is_used_or_counted(
    odd: list[dict[str, Any]],
) -> None:
    """One device with a broken firmware must not end the training of its fleet."""
    workload = SolarPower({"time_zone": "America/Denver"})

    rows = workload.training_set({"readings": table(odd)})

    raws = [documents.raw_reading(fields) for fields in odd]
    rejected: Counter[str] = Counter()
    own = [
        raw
        for raw in raws
        if documents.device_of(raw.device_id) == rows.context.serving_state.device
    ]
    latest_us = round((WRITTEN + timedelta(days=1)).timestamp() * 1e6) + len(odd)
    used = documents.read_readings(own, DENVER, latest_us, rejected)
    assert sum(rows.rejected.values()) + len(used) == len(odd)
    assert np.isfinite(used.values[:, documents.POWER]).all()
    assert np.all(np.diff(used.time_us) > 0)
    assert rows.n_rows <= len(used)
    assert np.isfinite(rows.target).all()


@settings(deadline=None, max_examples=150)
@given(odd_document)
def test_a_record_is_rejected_with_the_reason_that_training_counts(odd: dict[str, Any]) -> None:
    """The buffer asks about each record as it arrives; both must tell the same story."""
    workload = SolarPower({"time_zone": "America/Denver"})
    sent = msgspec.json.decode(msgspec.json.encode(odd))

    reason = workload.reject_reason("readings", sent)

    rejected = workload.training_set({"readings": table([odd])}).rejected
    assert [each for each in rejected if each != DATED_LATER] == (
        [] if reason is None else [reason]
    )


@settings(deadline=None, max_examples=200)
@given(st.lists(st.none() | st.integers() | st.floats() | st.text(max_size=8) | st.booleans()))
def test_a_column_of_numbers_is_read_as_each_of_them_alone(column: list[Any]) -> None:
    """The fast way and the slow way are one meaning."""
    alone = np.array([documents.read_number(value) for value in column], dtype=np.float64)

    assert np.array_equal(documents.read_numbers(column), alone, equal_nan=True)


def test_readings_that_cannot_be_used_are_counted_by_reason() -> None:
    """A fleet whose status field was renamed must be told so, not left without a model."""
    at = [START + timedelta(minutes=5 * i) for i in range(12)]
    rows = rows_of(
        [
            {"timestamp": at[0].isoformat(), "power": 1, "status": "online"},
            reading(at[1], 1.0, device_id="inverter-2"),
            reading(at[2], 1.0, status="offline"),
            reading(at[3], 1.0, status=None),
            reading(at[4], 1.0, timestamp="soon"),
            reading(at[5], 1.0) | {"power": "n/a"},
            reading(WRITTEN + timedelta(days=400), 1.0),
            reading(at[6], 1.0),
            reading(at[6], 2.0, status="Online"),
            reading(at[9], 5.0),
        ]
    )

    assert rows.rejected == {
        NO_DEVICE: 1,
        OTHER_DEVICE: 1,
        NOT_ONLINE: 2,
        NO_TIME: 1,
        NO_POWER: 1,
        DATED_LATER: 1,
        CAME_AGAIN: 1,
    }
    assert rows.target.tolist() == [5.0]
    assert rows.features[0, 9] == 2.0, "of two readings of one time the later written one counts"
