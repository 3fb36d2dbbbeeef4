"""Store a sample of the holdout with true and predicted values, which the console shows.

`holdout.json` beside the model: the retrain daemon writes it before the version is signed, the
console draws it. Nothing that is served rests on it; a version without one is a whole version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.plain_file import read_plain
from shared.versions.staged_files import StagedFiles
from shared.workloads.training import RowAnswers, Score, TrainingSet, row_answers

HOLDOUT_NAME = "holdout.json"
MOST_ROWS = 400
_MOST_BYTES = 4_000_000
_DIGITS = 7

UNKNOWN = "another"
"""Stands for a category that the version does not tell apart."""

Cell = float | str | None


class HoldoutSample(msgspec.Struct, frozen=True, kw_only=True):
    """Rows evenly spread over the holdout, oldest first.

    features : (n_rows, n_features) in the order of the manifest; a category as its text, None
        where there was no value.
    days, slices : (n_rows,) the day of each row, and its part, device or class.
    actual : (n_rows,) what was true, in `unit`. predicted : (n_rows,) what this version answered.
        Of a classifier both are places in `labels`, and None is a label that is not there.
    probability : (n_rows,) of a classifier, the probability that it gave to what was true.
    champion : the version that served then; champion_predicted, champion_probability : its answers.
    has_slice_units : the unit is another one in each slice.
    """

    unit: str
    n_holdout_rows: int
    days: list[str]
    slices: list[str]
    features: list[list[Cell]]
    actual: list[float | None]
    predicted: list[float | None]
    champion: str | None = None
    champion_predicted: list[float | None] | None = None
    labels: list[str] = []
    probability: list[float | None] | None = msgspec.field(default=None, name="chance")
    champion_probability: list[float | None] | None = msgspec.field(
        default=None, name="champion_chance"
    )
    has_slice_units: bool = False

    @property
    def n_rows(self) -> int:
        return len(self.actual)


def sample_of(
    holdout: TrainingSet,
    scored: Score,
    champion: str | None = None,
    rival: Score | None = None,
    vocabulary: Mapping[int, Sequence[str]] | None = None,
) -> HoldoutSample | None:
    """Evenly spread rows of a holdout; None where answers or truths are no single numbers.

    scored, rival : the scores of the candidate and of the champion on these rows.
    vocabulary : column -> the texts that its numbers stand for.
    """
    mine = row_answers(holdout, scored)
    others = row_answers(holdout, rival) if rival is not None else None
    if mine is None or not holdout.n_rows:
        return None
    chosen = np.unique(np.linspace(0, holdout.n_rows - 1, MOST_ROWS).astype(np.int64))
    return HoldoutSample(
        unit=mine.unit,
        n_holdout_rows=holdout.n_rows,
        days=[str(day) for day in holdout.day[chosen]],
        slices=[str(one) for one in holdout.slices[chosen]],
        features=_cells(holdout.features[chosen], vocabulary or {}),
        actual=_numbers(mine.actual[chosen]),
        predicted=_numbers(mine.predicted[chosen]),
        champion=champion if others is not None else None,
        champion_predicted=_numbers(others.predicted[chosen]) if others is not None else None,
        labels=list(mine.labels),
        probability=_probabilities(mine, chosen),
        champion_probability=_probabilities(others, chosen),
        has_slice_units=mine.has_slice_units,
    )


def write_sample(staged: StagedFiles, sample: HoldoutSample | None) -> None:
    """Put it beside the model, before the manifest names the files of the version."""
    if sample is not None:
        staged.write(HOLDOUT_NAME, msgspec.json.encode(sample))


def read_sample(directory: Path) -> HoldoutSample | None:
    """Read it for showing, unverified; None where there is none or it cannot be read."""
    try:
        content = read_plain(directory / HOLDOUT_NAME, _MOST_BYTES)
        found = msgspec.json.decode(content, type=HoldoutSample)
    except (OSError, msgspec.DecodeError, RecursionError):
        return None
    columns = (found.days, found.slices, found.features, found.predicted)
    some = (found.champion_predicted, found.probability, found.champion_probability)
    lengths = {len(one) for one in (*columns, *some) if one is not None}
    return found if lengths == {found.n_rows} else None


def _probabilities(
    answers: RowAnswers | None, chosen: NDArray[np.int64]
) -> list[float | None] | None:
    return (
        None
        if answers is None or answers.probability is None
        else _numbers(answers.probability[chosen])
    )


def _cells(rows: NDArray[Any], vocabulary: Mapping[int, Sequence[str]]) -> list[list[Cell]]:
    found: list[list[Cell]] = [list(_numbers(row)) for row in rows]
    for column, texts in vocabulary.items():
        for row in found:
            code = row[column]
            if isinstance(code, float):
                row[column] = texts[int(code)] if 0 <= code < len(texts) else UNKNOWN
    return found


def _numbers(values: NDArray[Any]) -> list[float | None]:
    """Plain floats with the digits that a picture can show; None where not finite."""
    floats: Sequence[float] = np.asarray(values, dtype=np.float64).tolist()
    return [float(f"{one:.{_DIGITS}g}") if np.isfinite(one) else None for one in floats]
