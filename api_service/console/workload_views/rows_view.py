"""Any workload that answers rows with numbers: truth against prediction on held-out rows."""

from __future__ import annotations

from api_service.console.charts.plots import against
from api_service.console.words import figure
from api_service.console.workload_views.base import Asked, Table, WorkView

_SHOWN = 40


def view(asked: Asked) -> WorkView | None:
    sample = asked.sample()
    if sample is None:
        return None
    pairs = [
        (said, actual)
        for said, actual in zip(sample.predicted, sample.actual, strict=True)
        if said is not None and actual is not None
    ]
    unit = sample.unit
    mean = sum(abs(said - actual) for said, actual in pairs) / len(pairs) if pairs else 0.0
    newest = list(zip(sample.days, sample.slices, sample.actual, sample.predicted, strict=True))
    return WorkView(
        "Truth against prediction",
        f"{sample.n_rows} of {figure(sample.n_holdout_rows)} rows that the version was judged on"
        " and not fitted on.",
        pictures=[
            against(
                "truth",
                "Truth against prediction on held-out rows",
                f"On the line the prediction is right; on average it is {figure(mean, 3)} off.",
                pairs,
                x_name=f"predicted, {unit}",
                y_name=f"true, {unit}",
                columns=[],
                rows=[],
            )
        ],
        tables=[
            Table(
                "The newest held-out rows",
                [("day", False), ("slice", False), ("true", True), ("predicted", True)],
                [
                    [day, part, figure(actual), figure(said)]
                    for day, part, actual, said in newest[: -_SHOWN - 1 : -1]
                ],
            )
        ],
    )
