"""Compare the predictions of two versions on the same held-out rows.

Opens no model. The version that serves is open already and may be asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from api_service.console.charts.drawing import Picture
from api_service.console.charts.plots import against
from api_service.console.formatting import figure, percent, short_version
from api_service.console.workload_views.base import Table
from api_service.context import computing
from shared.loading.open_version import LoadedModel
from shared.versions.holdout_sample import HoldoutSample
from shared.versions.manifest import Manifest
from shared.workloads.rows import UNKNOWN_CATEGORY, RowRefused
from shared.workloads.text_rows import TextTable

_IN_TABLE = 60
_MOST_SLICES = 6
_MOST_CHANGES = 20


@dataclass(frozen=True, slots=True)
class Answers:
    """Of one version, row by row; chance : of a classifier, what it gave to what was true."""

    predicted: Sequence[float | None]
    chance: Sequence[float | None] | None = None


@dataclass(frozen=True, slots=True)
class SameRows:
    """Pictures, tables and a sentence about them; all empty when nothing can be shown."""

    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    text: str = ""


def view(
    manifests: Sequence[Manifest],
    samples: Sequence[HoldoutSample | None],
    live: LoadedModel | None,
) -> SameRows:
    """manifests, samples : of the versions A and B."""
    for sample, answers, how in _answered(manifests, samples, live):
        names = [short_version(one.version) for one in manifests]
        draw = _labels if sample.labels else _numbers
        return draw(names, sample, answers, how)
    return SameRows()


def _answered(
    manifests: Sequence[Manifest],
    samples: Sequence[HoldoutSample | None],
    live: LoadedModel | None,
) -> Iterator[tuple[HoldoutSample, list[Answers], str]]:
    """Whatever rows both have answered, B's rows first, with how that is known."""
    versions = [one.version for one in manifests]
    for i in (1, 0):
        sample = samples[i]
        if sample is not None and sample.champion == versions[1 - i] and sample.champion_predicted:
            rival = Answers(sample.champion_predicted, sample.champion_probability)
            how = f"held-out rows of {short_version(versions[i])}, answered when it was judged"
            yield sample, _in_order(i, sample, rival), how
    for i in (1, 0):
        sample = samples[i]
        if live is None or live.version != versions[1 - i] or sample is None:
            continue
        rival_now = _ask(live, sample, manifests[i])
        if rival_now is not None:
            how = (
                f"held-out rows of {short_version(versions[i])}; {short_version(live.version)},"
                " which serves, was asked just now"
            )
            yield sample, _in_order(i, sample, rival_now), how


def _in_order(place: int, sample: HoldoutSample, rival: Answers) -> list[Answers]:
    """A's answers, then B's; the sample is that of the version at `place`."""
    own = Answers(sample.predicted, sample.probability)
    return [own, rival] if place == 0 else [rival, own]


# -- numbers ---------------------------------------------------------------------------------------


def _numbers(
    names: Sequence[str], sample: HoldoutSample, answers: Sequence[Answers], how: str
) -> SameRows:
    if not sample.has_slice_units:
        chosen = range(sample.n_rows)
        return SameRows([_picture("answers", "", names, sample, answers, chosen, how)])
    parts: dict[str, list[int]] = {}
    for i, one in enumerate(sample.slices):
        parts.setdefault(one, []).append(i)
    return SameRows(
        [
            _picture(f"answers-{n}", part, names, sample, answers, rows, how)
            for n, (part, rows) in enumerate(sorted(parts.items())[:_MOST_SLICES])
        ]
    )


def _picture(
    name: str,
    part: str,
    names: Sequence[str],
    sample: HoldoutSample,
    answers: Sequence[Answers],
    chosen: Sequence[int],
    how: str,
) -> Picture:
    """part : the slice that is drawn, "" for all rows."""
    one, other = (each.predicted for each in answers)
    pairs = [(x, y) for i in chosen if (x := one[i]) is not None and (y := other[i]) is not None]
    apart = [abs(x - y) for x, y in pairs]
    mean = sum(apart) / len(apart) if apart else 0.0
    unit = f"{part} {sample.unit}" if part else sample.unit
    off = [_off(each, sample.actual, chosen) for each in answers]
    return against(
        name,
        f"What {names[0]} and {names[1]} answer{f': {part}' if part else ' to the same rows'}",
        f"{len(pairs)} {how}. On the line both answer the same; on average they are"
        f" {figure(mean, 3)} {'' if part else f'{unit} '}apart, at most"
        f" {figure(max(apart, default=0.0), 3)}. From the truth {names[0]} is {figure(off[0], 3)}"
        f" off, {names[1]} {figure(off[1], 3)}.",
        pairs,
        x_name=f"{names[0]}, {unit}",
        y_name=f"{names[1]}, {unit}",
        columns=[names[0], names[1], "difference"],
        rows=[[figure(x), figure(y), figure(y - x, 3)] for x, y in pairs[:_IN_TABLE]],
    )


def _off(answers: Answers, actual: Sequence[float | None], chosen: Sequence[int]) -> float | None:
    """The mean distance from the truth."""
    found = [
        abs(said - true)
        for i in chosen
        if (said := answers.predicted[i]) is not None and (true := actual[i]) is not None
    ]
    return sum(found) / len(found) if found else None


# -- labels ----------------------------------------------------------------------------------------


def _labels(
    names: Sequence[str], sample: HoldoutSample, answers: Sequence[Answers], how: str
) -> SameRows:
    one, other = (each.predicted for each in answers)
    right = [
        sum(said == true for said, true in zip(each, sample.actual, strict=True))
        for each in (one, other)
    ]
    changed = Counter(
        (a, b, true) for a, b, true in zip(one, other, sample.actual, strict=True) if a != b
    )
    n_changed = sum(changed.values())
    text = (
        f"{sample.n_rows} {how}. {sample.n_rows - n_changed} of them get the same label from both;"
        f" {names[0]} is right about {percent(right[0] / sample.n_rows, 1)},"
        f" {names[1]} about {percent(right[1] / sample.n_rows, 1)}."
    )
    return SameRows(_chances(names, sample, answers), _changes(names, sample, changed), text)


def _changes(
    names: Sequence[str],
    sample: HoldoutSample,
    changed: Mapping[tuple[float | None, float | None, float | None], int],
) -> list[Table]:
    if not changed:
        return []
    most = sorted(changed.items(), key=lambda each: -each[1])[:_MOST_CHANGES]
    return [
        Table(
            "Rows that get another label",
            [
                *((f"{name} says", False) for name in names),
                ("true is", False),
                ("right", False),
                ("rows", True),
            ],
            [
                [
                    *(label_of(sample, place) for place in (a, b, true)),
                    names[0] if a == true else names[1] if b == true else "neither",
                    figure(n),
                ]
                for (a, b, true), n in most
            ],
        )
    ]


def label_of(sample: HoldoutSample, place: float | None) -> str:
    return "another" if place is None else sample.labels[int(place)]


def _chances(
    names: Sequence[str], sample: HoldoutSample, answers: Sequence[Answers]
) -> list[Picture]:
    one, other = (each.chance for each in answers)
    if one is None or other is None:
        return []
    pairs = [(x, y) for x, y in zip(one, other, strict=True) if x is not None and y is not None]
    means = [sum(column) / len(pairs) for column in zip(*pairs, strict=True)] or [0.0, 0.0]
    return [
        against(
            "answers",
            "The probability that each gave to the true label",
            f"Above the line {names[1]} was surer of the truth, below it {names[0]}; on average"
            f" {names[0]} gave {percent(means[0], 1)} and {names[1]} {percent(means[1], 1)}.",
            pairs,
            x_name=f"{names[0]}, probability",
            y_name=f"{names[1]}, probability",
            columns=["true label", *names],
            rows=[
                [label_of(sample, true), figure(x, 3), figure(y, 3)]
                for true, x, y in list(zip(sample.actual, one, other, strict=True))[:_IN_TABLE]
            ],
        )
    ]


# -- asking the version that serves ----------------------------------------------------------------


def _ask(live: LoadedModel, sample: HoldoutSample, manifest: Manifest) -> Answers | None:
    """manifest : of the version whose rows they are."""
    matrix = _matrix(live, sample, manifest)
    if matrix is None:
        return None
    try:
        with computing():
            outputs = live.answerer.predict_rows(matrix)
    except RowRefused:
        return None
    values = np.asarray(next(iter(outputs.values())))
    if sample.labels:
        return _labels_now(live, sample, values, outputs.get("probabilities"))
    if sample.has_slice_units and values.ndim == 2:  # several horizons: the last is kept
        values = values[:, -1]
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        return None
    return Answers(values.astype(np.float64).tolist())


def _matrix(
    live: LoadedModel, sample: HoldoutSample, manifest: Manifest
) -> NDArray[np.float64] | None:
    """The rows as the live version codes them; None where it takes other columns."""
    rows = live.answerer.rows
    places = {spec.name: i for i, spec in enumerate(manifest.features)}
    if rows is None or not sample.features or places.keys() != {one.name for one in rows.features}:
        return None
    matrix, table = np.empty((sample.n_rows, len(rows.features))), TextTable()
    for j, spec in enumerate(rows.features):
        codes = rows.codes.get(spec.name)
        for i, row in enumerate(sample.features):
            cell = row[places[spec.name]]
            if spec.dtype == "text":
                cell = table.place(None if cell is None else str(cell))
            elif isinstance(cell, str):
                cell = (codes or {}).get(cell, UNKNOWN_CATEGORY)
            elif codes is not None and cell is not None:
                return None  # kept as a number of its own version's vocabulary
            matrix[i, j] = np.nan if cell is None else cell
    return table.matrix(matrix, rows.text_columns)


def _labels_now(
    live: LoadedModel, sample: HoldoutSample, values: NDArray[Any], chances: NDArray[Any] | None
) -> Answers | None:
    classes = [str(one) for one in live.answerer.row_facts.get("classes", ())]
    if values.ndim != 1 or not classes:
        return None
    places = {label: float(i) for i, label in enumerate(sample.labels)}
    predicted = [places.get(str(one)) for one in values.tolist()]
    if chances is None:
        return Answers(predicted)
    columns = {label: i for i, label in enumerate(classes)}
    truths = [label_of(sample, true) for true in sample.actual]
    chance = [
        float(chances[i, columns[true]]) if true in columns else 0.0
        for i, true in enumerate(truths)
    ]
    return Answers(predicted, chance)
