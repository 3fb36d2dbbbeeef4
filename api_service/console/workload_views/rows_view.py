"""Console view of workloads that predict rows: truth against prediction on held-out rows."""

from __future__ import annotations

from collections import Counter

from api_service.console.charts.plots import Bar, against, bars
from api_service.console.formatting import figure, percent
from api_service.console.workload_views.base import Asked, Table, WorkView
from shared.versions.holdout_sample import HoldoutSample

_SHOWN = 40
_MOST_LABELS = 12


def view(asked: Asked) -> WorkView | None:
    sample = asked.sample()
    if sample is None:
        return None
    return _labels(sample) if sample.labels else _numbers(sample)


def _numbers(sample: HoldoutSample) -> WorkView:
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
        _which(sample),
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


def _which(sample: HoldoutSample) -> str:
    return (
        f"{sample.n_rows} of {figure(sample.n_holdout_rows)} rows that the version was judged on"
        " and not fitted on."
    )


def _labels(sample: HoldoutSample) -> WorkView:
    """How many of each label were found, and what they were taken for."""
    pairs = Counter(zip(sample.actual, sample.predicted, strict=True))
    n_true = Counter(true for true in sample.actual if true is not None)
    places = [place for place, _ in n_true.most_common(_MOST_LABELS)]
    names = {place: sample.labels[int(place)] for place in places}
    n_right = sum(n for (true, said), n in pairs.items() if true == said)
    rest = f" The {_MOST_LABELS} most frequent labels." if len(n_true) > len(places) else ""
    return WorkView(
        "Truth against prediction",
        f"{_which(sample)} {percent(n_right / sample.n_rows, 1)} of them were told right.{rest}",
        pictures=[
            bars(
                "truth",
                "How many of each label were found",
                "Of the held-out rows with each true label, those that were given it, and those"
                " that were taken for another.",
                [
                    Bar(
                        names[place],
                        [
                            (float(pairs[place, place]), "s1", "found"),
                            (float(n_true[place] - pairs[place, place]), "s2", "taken for another"),
                        ],
                        f"{percent(pairs[place, place] / n_true[place])} of {n_true[place]}",
                    )
                    for place in places
                ],
                unit="rows",
                legend=[("k-s1 m-area", "found"), ("k-s2 m-area", "taken for another")],
                columns=["true label", "rows", "found"],
                rows=[
                    [names[place], figure(n_true[place]), figure(pairs[place, place])]
                    for place in places
                ],
                right=110,
            )
        ],
        tables=[
            Table(
                "What each true label was said to be",
                [("true label", False), *((names[place], True) for place in places)],
                [[names[true], *(figure(pairs[true, said]) for said in places)] for true in places],
            )
        ],
    )
