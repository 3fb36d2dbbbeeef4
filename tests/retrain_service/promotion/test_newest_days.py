"""The newest days may be any week that there was, or changed moderately, but not poisoned."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from retrain_service.promotion.gate_result import GateResult
from retrain_service.promotion.newest_days import judge_newest_days
from shared.settings.per_model import GateSettings
from shared.workloads import REGISTRY, open_workload, workload_class
from tests.shared.workloads.tabular.flats import tables

FIRST = date(2025, 1, 1)
Record = dict[str, Any]
Change = Callable[[Record], Record]

SALES = {"target": "sold", "features": ["celsius", "price", "shop"], "time": "day"}


def shop(n_days: int, *, a_day: int = 4, seed: int = 3) -> list[Record]:
    """Sales with a week and a year in them, in degrees that come through zero; no Sunday sells."""
    dice = np.random.default_rng(seed)
    found = []
    for i in range(n_days):
        day = FIRST + timedelta(days=i)
        year = np.cos(2 * np.pi * i / 365)
        for n in range(a_day):
            level = 0 if day.weekday() == 6 else 100 + 40 * (day.weekday() == 5) - 25 * year
            found.append(
                {
                    "day": str(day),
                    "sold": round(float(max(level + dice.normal(0, 15 * (level > 0)), 0)), 1),
                    "celsius": round(float(8 - 12 * year + dice.normal(0, 3)), 1),
                    "price": round(float(9 + dice.normal(0, 0.5)), 2),
                    "shop": f"shop {n}",
                }
            )
    return found


def changed(records: list[Record], n_days: int, change: Change) -> list[Record]:
    """The newest so many days of the records as they are after a change."""
    since = str(date.fromisoformat(records[-1]["day"]) - timedelta(days=n_days))
    return [change(record) if record["day"] > since else record for record in records]


def judged(records: list[Record], parameters: Record | None = None, **gate: Any) -> GateResult:
    workload = open_workload("tabular", parameters or SALES)
    return judge_newest_days(
        workload.training_set(tables(records)), workload, GateSettings.model_validate(gate)
    )


def of(name: str, function: Callable[[float], float | None]) -> Change:
    return lambda record: {**record, name: function(record[name])}


@pytest.mark.parametrize("n_days", [30, 120, 500])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (of("sold", lambda v: v * 10), "target is at its highest"),
        (of("sold", lambda v: 0.0), "target is 0 in 100 % of the rows"),
        (of("sold", lambda v: v / 1000), "target is usually"),
        (of("price", lambda v: v * 100), "price is at its highest"),
        (of("price", lambda v: 9.0), "price is 9 in 100 % of the rows"),
        (of("celsius", lambda v: v * 9 / 5 + 32 + 40), "celsius is"),
        (of("celsius", lambda v: None), "celsius is missing in 100 % of the rows"),
        (lambda r: {**r, "price": r["sold"], "sold": r["price"]}, "is at its highest"),
    ],
)
def test_a_poisoned_week_is_refused_with_a_sentence(n_days: int, change: Change, said: str) -> None:
    """Times ten, zeros, another unit, a sensor that is silent or stands still, columns swapped."""
    found = judged(changed(shop(n_days), 7, change))

    assert found.verdict == "failed", found.sentence
    assert "the newest 7 days are unlike those before" in found.sentence
    assert said in found.sentence
    assert "not trained" in found.sentence
    assert "gate.max_newest_change" in found.sentence


@pytest.mark.parametrize(
    ("n_changed", "change"),
    [
        (7, of("sold", lambda v: v * 1.5)),
        (7, of("sold", lambda v: v * 0.6)),
        (3, of("sold", lambda v: v * 1.3)),
        (2, of("sold", lambda v: 0.0)),
        (7, of("celsius", lambda v: v + 6)),
        (1, of("price", lambda v: None)),
        (7, lambda record: {**record, "shop": "a new one"}),
    ],
)
def test_a_true_change_of_moderate_size_passes(n_changed: int, change: Change) -> None:
    """A better season, a holiday, a cold week, a new category: the world does that."""
    assert judged(changed(shop(120), n_changed, change)).verdict == "passed"


def test_one_great_order_is_no_other_unit() -> None:
    """Of seven rows a week one is a seventh."""
    records = shop(120, a_day=1)
    records[-3]["sold"] *= 40

    assert judged(records).verdict == "passed"


def test_a_change_that_lasts_is_believed_after_three_weeks_and_a_bad_fortnight_is_not() -> None:
    """A currency that lost a zero must not stop trainings for ever."""
    records = shop(200)

    def verdict(n_changed: int) -> str:
        return judged(changed(records, n_changed, of("sold", lambda v: v * 10))).verdict

    assert [verdict(n) for n in (3, 7, 14, 21)] == ["failed", "failed", "failed", "passed"]


def test_a_peak_that_came_a_year_ago_too_is_usual() -> None:
    """Christmas comes each year, and a training on the day after it must not be refused."""
    records = shop(7 * 54)
    peak = changed(records, 7, of("sold", lambda v: v * 4))
    last = str(FIRST + timedelta(days=7 * 54 - 1 - 52 * 7))
    again = [
        {**record, "sold": record["sold"] * 4} if record["day"] <= last else record
        for record in peak
    ]

    assert judged(peak).verdict == "failed"
    assert judged(again).verdict == "passed"


@pytest.mark.parametrize(
    ("n_days", "gate", "verdict"),
    [
        (3, {}, "skipped"),
        (7, {}, "failed"),
        (10, {}, "failed"),
        (60, {"max_newest_change": 0}, "skipped"),
    ],
)
def test_a_short_history_and_the_setting(n_days: int, gate: Record, verdict: str) -> None:
    """Two days of a week are compared with the five before; nobody can tell from three days."""
    poisoned = changed(shop(n_days), 2, of("price", lambda v: v * 10))

    assert judged(poisoned, **gate).verdict == verdict


@pytest.mark.parametrize("n_days", [14, 15, 18, 21])
def test_a_dry_week_without_a_campaign_passes(n_days: int) -> None:
    """What all rows of a day share is one observation a day: seven dry days are no silent gauge."""
    rain = [0.0, 4.2, 0.0, 11.3, 0.0, 0.0, 1.1]  # of the weekdays, in all weeks but the newest
    parameters = {**SALES, "features": ["rain", "campaign"]}
    records = [
        {**record, "rain": rain[weekday], "campaign": weekday in (1, 4)}
        for record in shop(n_days, a_day=40)
        for weekday in [date.fromisoformat(record["day"]).weekday()]
    ]
    dry = changed(records, 7, lambda record: {**record, "rain": 0.0, "campaign": False})
    showery = changed(records, 7, of("rain", lambda v: v / 10))

    assert judged(dry, parameters).verdict == "passed"
    assert judged(showery, parameters).verdict == "passed"


def test_columns_that_are_compared_are_columns_of_the_workload() -> None:
    """A feature that is renamed must not go unseen from then on."""
    for name in REGISTRY:
        found = workload_class(name)
        if found.measured is not None:
            features = {spec.name for spec in open_workload(name, {}).features}
            assert set(found.measured) <= features


def test_labels_are_no_levels_but_one_label_alone_is_poison() -> None:
    """Greater and smaller mean nothing among labels."""
    parameters = {**SALES, "task": "classification", "target": "kind"}
    records = [{**r, "kind": "good" if r["sold"] > 105 else "bad"} for r in shop(120)]

    assert judged(records, parameters).verdict == "passed"
    only = judged(changed(records, 7, lambda r: {**r, "kind": "good"}), parameters)
    assert (only.verdict, "target is the same in 100 %" in only.sentence) == ("failed", True)
