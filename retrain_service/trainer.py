"""Fit a candidate on frozen rows: seed in, estimator and durations out. Judges nothing."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from shared.workloads.base import Progress, TrainingSet, Workload

RECORDED_LIBRARIES = ("scikit-learn", "numpy", "joblib")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fitted estimator and how long the fit took, in seconds."""

    estimator: Any
    fit_s: float


def fit_candidate(
    workload: Workload, train: TrainingSet, seed: int, progress: Progress
) -> Candidate:
    """Fit on the train rows only; same rows and seed, same estimator."""
    started = time.perf_counter()
    estimator = workload.fit(train, seed, progress)
    return Candidate(estimator, time.perf_counter() - started)


def library_versions() -> dict[str, str]:
    """What a stored estimator depends on."""
    found = {name: version(name) for name in RECORDED_LIBRARIES}
    return {"python": platform.python_version(), **found}
