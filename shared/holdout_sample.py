"""Some held-out rows of a version with what was true and what was answered, kept for looking at.

`holdout.json` beside the model: the retrain daemon writes it before the version is signed, the
console draws it. Nothing that is served rests on it; a version without one is a whole version.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.atomic_file import write_synced
from shared.workloads.base import Score, TrainingSet

HOLDOUT_NAME = "holdout.json"
MOST_ROWS = 400
_MOST_BYTES = 4_000_000
_DIGITS = 7


class HoldoutSample(msgspec.Struct, frozen=True, kw_only=True):
    """Rows evenly spread over the holdout, oldest first.

    features : (n_rows, n_features) in the order of the manifest; None where there was no value.
    days, slices : (n_rows,) the day of each row, and its part, device or class.
    actual : (n_rows,) what was true, in `unit`. predicted : (n_rows,) what this version answered.
    champion : the version that served then; champion_predicted : what it answered.
    """

    unit: str
    n_holdout_rows: int
    days: list[str]
    slices: list[str]
    features: list[list[float | None]]
    actual: list[float | None]
    predicted: list[float | None]
    champion: str | None = None
    champion_predicted: list[float | None] | None = None

    @property
    def n_rows(self) -> int:
        return len(self.actual)


def sample_of(
    holdout: TrainingSet, scored: Score, champion: str | None = None, rival: Score | None = None
) -> HoldoutSample | None:
    """Evenly spread rows of a holdout; None where answers or truths are no single numbers.

    scored, rival : the scores of the candidate and of the champion on these rows.
    """
    if scored.prediction is None or not _is_one_number_a_row(holdout.target):
        return None
    if not holdout.n_rows or len(scored.prediction) != holdout.n_rows:
        return None
    chosen = np.unique(np.linspace(0, holdout.n_rows - 1, MOST_ROWS).astype(np.int64))
    has_rival = rival is not None and rival.prediction is not None
    return HoldoutSample(
        unit=scored.unit,
        n_holdout_rows=holdout.n_rows,
        days=[str(day) for day in holdout.day[chosen]],
        slices=[str(one) for one in holdout.slices[chosen]],
        features=[_numbers(row) for row in holdout.features[chosen]],
        actual=_numbers(holdout.target[chosen]),
        predicted=_numbers(scored.prediction[chosen]),
        champion=champion if has_rival else None,
        champion_predicted=_numbers(rival.prediction[chosen])
        if rival is not None and rival.prediction is not None
        else None,
    )


def write_sample(directory: Path, sample: HoldoutSample | None) -> None:
    """Put it beside the model, before the manifest names the files of the version."""
    if sample is not None:
        write_synced(directory / HOLDOUT_NAME, msgspec.json.encode(sample))


def read_sample(directory: Path) -> HoldoutSample | None:
    """Read it for showing, unverified; None where there is none or it cannot be read."""
    path = directory / HOLDOUT_NAME
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        found = msgspec.json.decode(path.read_bytes(), type=HoldoutSample)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        return None
    lengths = {len(found.days), len(found.features), len(found.actual), len(found.predicted)}
    return found if lengths == {found.n_rows} else None


def _is_one_number_a_row(values: NDArray[Any]) -> bool:
    return values.ndim == 1 and values.dtype.kind in "biuf"


def _numbers(values: NDArray[Any]) -> list[float | None]:
    """Plain floats with the digits that a picture can show; None where not finite."""
    floats: Sequence[float] = np.asarray(values, dtype=np.float64).tolist()
    return [float(f"{one:.{_DIGITS}g}") if np.isfinite(one) else None for one in floats]
