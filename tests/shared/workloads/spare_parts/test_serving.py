"""What a client gets from an opened version of the spare-parts workload."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from shared.errors import NotFound, RequestInvalid
from shared.workloads.contract import Answerer
from shared.workloads.spare_parts.workload import SpareParts
from tests.shared.workloads.garage import (
    FIRST_DAY,
    NOW,
    RecordingEstimator,
    demand,
    documents,
    forecast,
    no_progress,
    opened,
    rows_of,
    table,
)


@pytest.fixture(scope="module")
def answerer() -> Answerer:
    """325 days of history: 2025-01-06 to 2025-11-26."""
    return opened(demand(325))


def test_a_forecast_has_the_fields_that_clients_read(answerer: Answerer) -> None:
    """Existing clients parse exactly this."""
    answer = forecast(answerer, forecast_days=7, current_date="2025-11-26")

    assert list(answer) == [
        "status",
        "forecast_period_days",
        "start_date",
        "end_date",
        "total_restock_demand",
        "interval",
        "low",
        "high",
        "service_level",
        "quantity_for_service_level",
        "daily_breakdown",
        "history",
        "timestamp",
    ]
    assert answer["status"] == "success"
    assert answer["forecast_period_days"] == 7
    assert (answer["start_date"], answer["end_date"]) == ("2025-11-26", "2025-12-02")
    assert answer["timestamp"] == "2025-11-26T10:30:00+00:00"
    assert answer["history"] == {
        "first_day": "2025-01-06",
        "last_day": "2025-11-25",
        "gap_days": 0,
    }
    for day in answer["daily_breakdown"]:
        assert list(day) == ["date", "total_usage", "parts"]
        assert day["total_usage"] == pytest.approx(sum(day["parts"].values()))
    for part, total in answer["total_restock_demand"].items():
        assert type(total) is int
        assert total == pytest.approx(
            sum(day["parts"][part] for day in answer["daily_breakdown"]), abs=0.5 + 1e-9
        )
    assert sum(answer["total_restock_demand"].values()) > 50


@pytest.mark.parametrize("current_date", ["2025-12-28", "2026-03-27", "2026-10-23", "2028-02-27"])
@pytest.mark.parametrize("forecast_days", [1, 7, 90])
def test_a_forecast_has_one_entry_per_calendar_day(
    answerer: Answerer, current_date: str, forecast_days: int
) -> None:
    """Year ends, leap days and changes of the clock are where a day gets lost or doubled."""
    answer = forecast(answerer, forecast_days=forecast_days, current_date=current_date)

    start = date.fromisoformat(current_date)
    days = [start + timedelta(days=i) for i in range(forecast_days)]
    assert [day["date"] for day in answer["daily_breakdown"]] == [str(day) for day in days]
    assert answer["end_date"] == str(days[-1])


def test_a_whole_number_may_be_written_with_a_point(answerer: Answerer) -> None:
    """JSON has one kind of number: clients in other languages send 7.0 for 7."""
    answer = forecast(answerer, forecast_days=7.0)

    assert answer["forecast_period_days"] == 7
    assert len(answer["daily_breakdown"]) == 7


@pytest.mark.parametrize("days", [0, -1, 91, 10**30, 7.5, "7", True, [7], {}])
def test_any_other_number_of_days_is_refused_and_says_what_was_expected(
    answerer: Answerer, days: object
) -> None:
    """A client that asks for a year must not silently get a week."""
    with pytest.raises(RequestInvalid) as raised:
        forecast(answerer, forecast_days=days)

    assert raised.value.where == "forecast_days"
    assert raised.value.expected == "a whole number from 1 to 90"
    assert raised.value.found == repr(days)


@pytest.mark.parametrize("current_date", ["", "soon", "2025-02-30", "26/11/2025", 20251126, {}])
def test_a_current_date_that_is_no_date_is_refused(
    answerer: Answerer, current_date: object
) -> None:
    """Falling back to today would answer another question than was asked."""
    with pytest.raises(RequestInvalid) as raised:
        forecast(answerer, current_date=current_date)

    assert raised.value.where == "current_date"
    assert "2025-11-26" in raised.value.expected


def test_an_unknown_field_is_named_in_the_refusal(answerer: Answerer) -> None:
    """A misspelt forecast_days would otherwise be answered with the default."""
    with pytest.raises(RequestInvalid) as raised:
        forecast(answerer, forcast_days=30)

    assert "{'unexpected': ['forcast_days']}" in str(raised.value)


def test_without_a_current_date_the_forecast_begins_on_the_garage_s_today() -> None:
    """At 23:30 in UTC it is already tomorrow in Berlin."""
    late = datetime(2025, 6, 30, 23, 30, tzinfo=UTC)

    in_utc = forecast(opened(demand(60)), late)
    in_berlin = forecast(opened(demand(60), SpareParts({"time_zone": "Europe/Berlin"})), late)

    assert (in_utc["start_date"], in_utc["forecast_period_days"]) == ("2025-06-30", 7)
    assert in_berlin["start_date"] == "2025-07-01"


def test_a_forecast_from_a_past_day_uses_only_what_was_known_then() -> None:
    """Asked about last month, it must answer as it would have answered last month."""
    workload = SpareParts({})
    pieces = demand(200)
    rows = rows_of(pieces, workload)
    estimator = workload.fit(workload.split(rows)[0], 0, no_progress)
    whole = workload.open(estimator, workload.state(rows))
    cut = workload.open(estimator, workload.state(rows_of(pieces[:150], workload)))
    then = str(FIRST_DAY + timedelta(days=150))

    asked_now, asked_then = (forecast(a, current_date=then) for a in (whole, cut))

    assert asked_now == asked_then
    assert asked_now["history"]["gap_days"] == 0


def test_the_forecast_follows_the_recent_history(answerer: Answerer) -> None:
    """The state is what the version knows; a constant in its place cost a fifth of the accuracy."""
    busier = demand(325)
    busier[-28:] *= 2

    usual = forecast(answerer, current_date="2025-11-27")["total_restock_demand"]
    more = forecast(opened(busier), current_date="2025-11-27")["total_restock_demand"]

    assert sum(more.values()) > 1.3 * sum(usual.values())


def test_a_gap_after_the_history_is_rolled_through_and_said(answerer: Answerer) -> None:
    """A database that is away for a week must not stop the forecast, nor hide that it is old."""
    whole = forecast(answerer, forecast_days=30, current_date="2025-11-27")

    later = forecast(answerer, forecast_days=20, current_date="2025-12-07")

    assert later["daily_breakdown"] == whole["daily_breakdown"][10:]
    assert later["history"] == {
        "first_day": "2025-01-06",
        "last_day": "2025-11-26",
        "gap_days": 10,
    }


@pytest.mark.parametrize("gap_days", [90, 91, 92, 97, 98, 400, 20_000])
def test_a_gap_of_any_width_is_answered_in_bounded_time_with_the_right_weekdays(
    answerer: Answerer, gap_days: int
) -> None:
    """A typing error in the year must cost neither a worker's minute nor the Sunday."""
    start = date(2025, 11, 27) + timedelta(days=gap_days)

    answer = forecast(answerer, forecast_days=90, current_date=str(start))

    assert answer["history"]["gap_days"] == gap_days
    usage = np.array([day["total_usage"] for day in answer["daily_breakdown"]])
    weekdays = np.array([(start + timedelta(days=i)).weekday() for i in range(90)])
    assert usage[weekdays == 6].max() < 0.15 * usage[weekdays < 5].min()
    assert 0.5 * 24 < usage.mean() * 7 / 5.5 < 2 * 24


@pytest.mark.parametrize(("answer_per_row", "daily_total"), [(1e6, 7 * 5.0), (-3.0, 0.0)])
def test_a_long_roll_cannot_run_away(answer_per_row: float, daily_total: float) -> None:
    """Each forecast feeds the next; a model that overshoots a little would explode by day 90."""
    workload = SpareParts({})
    rows = rows_of(np.full((60, 7), 5.0), workload)
    estimator = RecordingEstimator(answer_per_row)

    days = forecast(workload.open(estimator, workload.state(rows)), forecast_days=90)[
        "daily_breakdown"
    ]

    assert {day["total_usage"] for day in days} == {daily_total}


def test_a_date_before_enough_is_known_is_refused_with_the_first_that_works(
    answerer: Answerer,
) -> None:
    """Zeros from an empty history would look like a forecast."""
    with pytest.raises(RequestInvalid) as raised:
        forecast(answerer, current_date="2025-01-19")

    assert "from 2025-01-20 on" in raised.value.expected
    assert forecast(answerer, current_date="2025-01-20")["history"]["last_day"] == "2025-01-19"


def test_parts_lists_catalogue_and_history_together() -> None:
    """A part that was never used can still be ordered; one that left the catalogue still fails."""
    workload = SpareParts({})
    catalogue: list[dict[str, Any]] = [
        {"name": "Part 00", "sku": "P-0", "price": 9.9},
        {"name": "Towing hook", "price": "free"},
    ]
    rows = workload.training_set(
        {
            "appointments": table(documents(np.full((30, 2), 2.0))),
            "spare_parts": table(catalogue, stream="spare_parts"),
        }
    )

    answer = workload.open(RecordingEstimator(), workload.state(rows)).answer("parts", {}, NOW)

    assert answer["total"] == 3
    assert answer["parts"] == [
        {
            "name": "Part 00",
            "sku": "P-0",
            "price": 9.9,
            "in_catalogue": True,
            "last_used": "2025-02-04",
            "used_last_28_days": 56.0,
        },
        {
            "name": "Part 01",
            "sku": None,
            "price": None,
            "in_catalogue": False,
            "last_used": "2025-02-04",
            "used_last_28_days": 56.0,
        },
        {
            "name": "Towing hook",
            "sku": None,
            "price": None,
            "in_catalogue": True,
            "last_used": None,
            "used_last_28_days": 0.0,
        },
    ]


def test_predict_takes_feature_rows_and_says_what_is_wrong_with_them(answerer: Answerer) -> None:
    """The message is a diff of field names, so that a client can be repaired from it."""
    row = {spec.name: 1.0 for spec in SpareParts({}).features}

    answer = answerer.answer("predict", {"instances": [row, row]}, NOW)

    assert len(answer["predictions"]) == 2
    assert answer["predictions"][0] > 0
    lagless = {name: value for name, value in row.items() if name != "yesterday"}
    with pytest.raises(RequestInvalid, match=r"instances\[1\].*missing.*yesterday.*lag"):
        answerer.answer("predict", {"instances": [row, {**lagless, "lag": 1}]}, NOW)
    with pytest.raises(RequestInvalid, match=r"instances\[0\]\.yesterday: expected a finite"):
        answerer.answer("predict", {"instances": [{**row, "yesterday": None}]}, NOW)
    with pytest.raises(RequestInvalid, match="instances"):
        answerer.answer("predict", {}, NOW)


def test_an_unknown_question_is_answered_with_those_that_exist(answerer: Answerer) -> None:
    """The routes of one workload are asked of another by mistake."""
    with pytest.raises(NotFound, match="forecast"):
        answerer.answer("recommend", {}, NOW)


def test_a_forecast_says_what_is_enough_for_a_wanted_service_level(answerer: Answerer) -> None:
    """Who must never run out orders more than who may wait a day."""
    usual = forecast(answerer, forecast_days=7)
    careful = forecast(answerer, forecast_days=7, service_level=0.99, interval=0.9)

    for part, total in usual["total_restock_demand"].items():
        assert usual["low"][part] <= total + 0.5
        assert careful["low"][part] <= usual["low"][part] <= usual["high"][part]
        assert usual["high"][part] <= careful["high"][part]
        enough = usual["quantity_for_service_level"][part]
        assert total <= enough <= careful["quantity_for_service_level"][part]
    for odd in (0.3, 1, "0.9", True):
        with pytest.raises(RequestInvalid, match=r"0\.5 to 0\.99"):
            forecast(answerer, service_level=odd)
