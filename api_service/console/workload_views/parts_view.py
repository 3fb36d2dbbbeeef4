"""Console view of spare parts: the forecast demand of each part for the next two weeks."""

from __future__ import annotations

from datetime import date

from api_service.console.charts.plots import Bar, Series, bars, over_time
from api_service.console.formatting import figure
from api_service.console.workload_views.base import Asked, Choice, WorkView

_DAYS = 14
_MOST_BARS = 25
ALL = "all parts"


def view(asked: Asked) -> WorkView:
    answer = asked.answer("forecast", {"forecast_days": _DAYS})
    totals = sorted(answer["total_restock_demand"].items(), key=lambda one: (-one[1], one[0]))
    days = answer["daily_breakdown"]
    part = asked.one_of("part", [ALL, *(name for name, _ in totals)])
    values = [day["total_usage"] if part == ALL else day["parts"].get(part, 0.0) for day in days]
    dates = [date.fromisoformat(day["date"]) for day in days]
    first, last = answer["start_date"], answer["end_date"]
    gap = answer["history"]["gap_days"]
    stale = f" The history ends {gap} days before." if gap else ""
    return WorkView(
        "Demand of the next two weeks",
        f"From {first} to {last}, from what is known up to {answer['history']['last_day']}.{stale}",
        pictures=[
            over_time(
                "forecast",
                f"Pieces a day, {part}",
                f"From {figure(min(values))} to {figure(max(values))} pieces a day,"
                f" {figure(sum(values))} in all.",
                [Series(part, "s1", [(float(i), value) for i, value in enumerate(values)])],
                unit="pieces a day",
                from_zero=True,
                x_ticks=[(float(i), f"{day.day} {day:%b}") for i, day in enumerate(dates)][::2],
                x_unit="day",
                columns=["day", "weekday", "pieces"],
                rows=[
                    [str(day), f"{day:%A}", figure(value)]
                    for day, value in zip(dates, values, strict=True)
                ],
            ),
            bars(
                "totals",
                f"Pieces of each part in {_DAYS} days",
                f"{len(totals)} parts; most of {totals[0][0]}: {totals[0][1]}."
                if totals
                else "No part is known.",
                [Bar(name, [(float(n), "s1", "")]) for name, n in totals[:_MOST_BARS]],
                unit="pieces",
                columns=["part", "pieces"],
                rows=[[name, figure(n)] for name, n in totals],
            ),
        ],
        choices=[Choice("part", "Part", part, [ALL, *sorted(name for name, _ in totals)])],
    )
