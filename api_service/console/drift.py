"""How much each feature moved between the held-out rows of two versions. Pure.

The population stability index over ten bins that are equally full for the older version: the sum
over bins of (b − a) · ln(b / a), a and b being shares of rows (Siddiqi, Credit Risk Scorecards,
2006, whose rule of thumb the words follow: up to 0.1 little, up to 0.25 some, above much).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.holdout_sample import HoldoutSample
from shared.workloads.base import FeatureSpec

N_BINS = 10
_LITTLE, _SOME = 0.1, 0.25
_FEWEST_ROWS = 20

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drift:
    """One feature in both samples; means are in its unit, missing ones are shares of rows."""

    name: str
    unit: str
    mean_a: float | None
    mean_b: float | None
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
    rows_a = np.array(a.features, dtype=np.float64)
    rows_b = np.array(b.features, dtype=np.float64)
    found = [
        _drift(spec, rows_a[:, i], rows_b[:, place_b[spec.name]])
        for i, spec in enumerate(features_a)
        if spec.name in place_b
    ]
    return sorted(found, key=lambda one: -(one.psi or 0.0))


def _drift(spec: FeatureSpec, a: Floats, b: Floats) -> Drift:
    known_a, known_b = a[~np.isnan(a)], b[~np.isnan(b)]
    return Drift(
        spec.name,
        spec.unit,
        float(known_a.mean()) if known_a.size else None,
        float(known_b.mean()) if known_b.size else None,
        1 - known_a.size / a.size,
        1 - known_b.size / b.size,
        psi(known_a, known_b),
    )


def psi(a: Floats, b: Floats) -> float | None:
    """Of known values; None when there are too few to tell."""
    if min(a.size, b.size) < _FEWEST_ROWS:
        return None
    edges = np.unique(np.quantile(a, np.linspace(0, 1, N_BINS + 1)[1:-1]))
    shares = [
        (np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1) + 0.5)
        / (values.size + 0.5 * (len(edges) + 1))
        for values in (a, b)
    ]
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
