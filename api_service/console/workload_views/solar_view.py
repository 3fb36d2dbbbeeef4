"""Console view of solar power: measured against predicted power on held-out rows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from api_service.console.charts.plots import Series, against, over_time
from api_service.console.formatting import figure
from api_service.console.workload_views.base import Asked, Choice, WorkView
from shared.versions.holdout_sample import HoldoutSample

_SHOWN = 60


def view(asked: Asked) -> WorkView:
    ahead = asked.live.answerer.row_facts.get("horizon_min", 15)
    title = f"Power {ahead:g} minutes ahead, actual against predicted"
    sample = asked.sample()
    names = [spec.name for spec in asked.live.manifest.features]
    if sample is None or not {"hour", "minute"} <= set(names):
        return WorkView(title, "This version carries no held-out rows to show; the next one will.")
    days = sorted(set(sample.days))
    day = asked.one_of("day", days[::-1])
    rows = _of_day(sample, names.index("hour"), names.index("minute"), day, float(ahead))
    unit = sample.unit
    errors = [abs(actual - predicted) for _, actual, predicted in rows]
    pairs = [
        (said, actual)
        for said, actual in zip(sample.predicted, sample.actual, strict=True)
        if said is not None and actual is not None
    ]
    mean = sum(errors) / len(errors) if errors else 0.0
    return WorkView(
        title,
        f"Held-out readings of {day}, local clock of the device: none of them was learnt from.",
        pictures=[
            over_time(
                "power",
                f"Power on {day}",
                f"{len(rows)} readings; on average the prediction is {figure(mean, 3)} {unit} off.",
                [
                    Series("actual", "s1", [(at, actual) for at, actual, _ in rows], mark="none"),
                    Series("predicted", "s2", [(at, said) for at, _, said in rows], mark="none"),
                ],
                unit=f"power, {unit}",
                x_unit="local time",
                from_zero=True,
                columns=["local time", f"actual {unit}", f"predicted {unit}"],
                rows=[[_clock(at), figure(actual), figure(said)] for at, actual, said in rows],
            ),
            against(
                "scatter",
                "Actual against predicted, all held-out days",
                f"{sample.n_rows} of {figure(sample.n_holdout_rows)} held-out rows; on the line the"
                " prediction is right.",
                pairs,
                x_name=f"predicted, {unit}",
                y_name=f"actual, {unit}",
                columns=[f"predicted {unit}", f"actual {unit}"],
                rows=[[figure(said), figure(actual)] for said, actual in pairs[-_SHOWN:]],
            ),
        ],
        choices=[Choice("day", "Day", day, days[::-1])],
    )


def _of_day(
    sample: HoldoutSample, hour: int, minute: int, wanted: str, ahead_min: float
) -> list[tuple[float, float, float]]:
    """(seconds since 1970 on the local clock, actual, predicted) of one day, in order.

    A row's day and clock may differ around midnight; the clock is that of the reading, and what
    was predicted comes `ahead_min` later.
    """
    found = []
    for day, row, actual, said in zip(
        sample.days, sample.features, sample.actual, sample.predicted, strict=True
    ):
        if day != wanted or actual is None or said is None:
            continue
        clock = timedelta(hours=float(row[hour] or 0), minutes=float(row[minute] or 0) + ahead_min)
        midnight = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
        found.append(((midnight + clock).timestamp(), actual, said))
    return sorted(found)


def _clock(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%H:%M}"
