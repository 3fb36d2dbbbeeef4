"""Measure how far each feature's distribution moved between the holdouts of two versions. Pure.

The population stability index over ten bins that are equally full for the older version: the sum
over bins of (b − a) · ln(b / a), a and b being shares of rows (Siddiqi, Credit Risk Scorecards,
2006, whose rule of thumb the words follow: up to 0.1 little, up to 0.25 some, above much). Of a
category each text is a bin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.versions.holdout_sample import Cell, HoldoutSample
from shared.workloads.rows import FeatureSpec

N_BINS = 10
_LITTLE, _SOME = 0.1, 0.25
_FEWEST_ROWS = 20

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drift:
    """One feature in both samples; missing ones are shares of rows.

    mean_a, mean_b : in its unit; of a category the text that is there most often.
    """

    name: str
    unit: str
    mean_a: float | str | None
    mean_b: float | str | None
    missing_a: float
    missing_b: float
    psi: float | None

    @property
    def word(self) -> str:
        if self.psi is None:
            return "not known"
        return "little" if self.psi <= _LITTLE else "some" if self.psi <= _SOME else "much"


def drift_rows(
    features_a: Sequence[FeatureSpec],
    a: HoldoutSample | None,
    features_b: Sequence[FeatureSpec],
    b: HoldoutSample | None,
) -> list[Drift]:
    """Of the features that both have, most moved first; empty without both samples."""
    if a is None or b is None:
        return []
    place_b = {spec.name: i for i, spec in enumerate(features_b)}
    found = [
        _drift(
            spec, [row[i] for row in a.features], [row[place_b[spec.name]] for row in b.features]
        )
        for i, spec in enumerate(features_a)
        if spec.name in place_b
    ]
    return sorted(found, key=lambda one: -(one.psi or 0.0))


def _drift(spec: FeatureSpec, a: Sequence[Cell], b: Sequence[Cell]) -> Drift:
    known_a, known_b = ([cell for cell in cells if cell is not None] for cells in (a, b))
    missing_a, missing_b = (1 - len(known_a) / len(a), 1 - len(known_b) / len(b))
    if spec.dtype in ("category", "text"):
        texts_a, texts_b = (
            [cell for cell in known if isinstance(cell, str)] for known in (known_a, known_b)
        )
        found: tuple[float | str | None, ...] = (_most_often(texts_a), _most_often(texts_b))
        index = psi_of_texts(texts_a, texts_b)
    else:
        values_a, values_b = (np.array(known, dtype=np.float64) for known in (known_a, known_b))
        found = tuple(float(one.mean()) if one.size else None for one in (values_a, values_b))
        index = psi(values_a, values_b)
    return Drift(spec.name, spec.unit, found[0], found[1], missing_a, missing_b, index)


def _most_often(texts: Sequence[str]) -> str | None:
    return Counter(texts).most_common(1)[0][0] if texts else None


def psi_of_texts(a: Sequence[str], b: Sequence[str]) -> float | None:
    """Of known texts; None when there are too few to tell, or they are kept as numbers."""
    if min(len(a), len(b)) < _FEWEST_ROWS:
        return None
    count_a, count_b = Counter(a), Counter(b)
    texts = sorted(count_a.keys() | count_b.keys())
    return _index(
        np.array([count_a[text] for text in texts]), np.array([count_b[text] for text in texts])
    )


def psi(a: Floats, b: Floats) -> float | None:
    """Of known values; None when there are too few to tell."""
    if min(a.size, b.size) < _FEWEST_ROWS:
        return None
    edges = np.unique(np.quantile(a, np.linspace(0, 1, N_BINS + 1)[1:-1]))
    counts = (
        np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
        for values in (a, b)
    )
    return _index(*counts)


def _index(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Rows by bin; half a row in each, so that no bin is empty."""
    shares = [(rows + 0.5) / (rows.sum() + 0.5 * rows.size) for rows in (a, b)]
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
