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

from shared.documents.numbers import read_number
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
from shared.workloads.solar_power.rows import COLUMN, Span
from shared.workloads.solar_power.serving import PowerAnswerer, read_serving_state
from shared.workloads.solar_power.workload import NO_TARGET, SolarPower
from tests.shared.workloads.roof import START, WRITTEN, reading, rows_of, table

DENVER = ZoneInfo("America/Denver")

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
    writing = rows.context.serving_state.writing
    used = documents.read_readings(own, writing, latest_us, rejected)
    left_out = {
        reason: n
        for reason, n in rows.rejected.items()
        if "the rest" not in reason and reason != NO_TARGET
    }
    left_out = {reason: n for reason, n in left_out.items() if "not read" not in reason}
    assert sum(left_out.values()) + len(used) == len(odd)
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
    alone = [read_number(value) for value in column]
    small = [number if abs(number) <= documents.MAX_MAGNITUDE else math.nan for number in alone]

    found = documents.read_numbers(column, documents.PLAIN[0])

    assert np.array_equal(found, np.array(small, dtype=np.float64), equal_nan=True)


def test_what_a_device_sends_for_no_value_is_left_out_in_training_and_in_answers() -> None:
    """A register that underflows in the evening is no 65 kW of power."""
    at = [START + timedelta(minutes=5 * i) for i in range(400)]
    power = [100.0 + i % 50 for i in range(400)]
    clean = [
        reading(when, w, voltage=230.0, temperature=20.0) for when, w in zip(at, power, strict=True)
    ]
    odd = [dict(each) for each in clean]
    for i in (100, 200, 300):
        odd[i] |= {"power": 65535}
        odd[i + 5] |= {"voltage": 6553.5, "temperature": -32768}
    odd[50] |= {"power": "0,1 kW", "voltage": "230,5"}
    workload = SolarPower({})

    made = rows_of(odd)

    assert made.rejected == {
        NO_TARGET: 3,
        "power is a code for no value, or far beyond what the device measures": 3,
        **{
            f"{name} is a code for no value, or far beyond what the device measures, the rest of"
            " the reading was used": 3
            for name in ("voltage", "temperature")
        },
    }
    assert made.target.max() <= 149
    assert np.nanmax(made.features[:, COLUMN["voltage"]]) == 230.5
    assert np.nanmin(made.features[:, COLUMN["temperature"]]) == 20.0
    state = read_serving_state(workload.state(made), ZoneInfo("UTC"))
    answerer = PowerAnswerer(Stays(), state, ZoneInfo("UTC"), Span(900_000_000, 30_000_000))
    later = reading(at[-1] + timedelta(minutes=5), 214748364.7)
    answer = answerer.answer("predict", {"readings": [odd[-1], later]}, WRITTEN)["forecast"]
    assert answer["power_w"] == power[-1]
    assert answer["not_used"] == {
        "power is a code for no value, or far beyond what the device measures": 1
    }


class Stays:
    """Expects that the power stays what it is."""

    def predict(self, features: Any) -> Any:
        return np.zeros(len(features))


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


@pytest.mark.parametrize(
    ("powers", "is_doubtful"),
    [((0, 1.2, "2.9"), True), ((0, "2.9 kW"), False), ((0, 310), False), ((0, 0), False)],
)
def test_power_that_may_be_in_kw_is_told(powers: tuple[object, ...], is_doubtful: bool) -> None:
    """3 W of a plant of 3 kW are forecast without a word, a thousandth of what comes."""
    found = documents.doubtful_power([{"power": power} for power in powers] * 30)

    assert ['unit = "kW"' in sentence for sentence in found] == [True] * is_doubtful
