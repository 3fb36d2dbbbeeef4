"""Fit a candidate on frozen rows: seed in, estimator and durations out. Judges nothing."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from shared.errors import SettingsInvalid
from shared.workloads import open_workload
from shared.workloads.contract import Progress, TrainingSet, Workload

RECORDED_LIBRARIES = ("scikit-learn", "numpy", "joblib")


@dataclass(frozen=True, slots=True)
class Fitted:
    """An estimator that may be continued, and what it has seen."""

    estimator: Any
    trained_until: np.datetime64
    runs_since_full: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fitted estimator and how long the fit took, in seconds.

    runs_since_full : 0 when it was trained from scratch.
    """

    estimator: Any
    fit_s: float
    runs_since_full: int


def fit_candidate(
    workload: Workload,
    train: TrainingSet,
    seed: int,
    progress: Progress,
    continue_from: Fitted | None = None,
) -> Candidate:
    """Fit on the train rows only; same rows and seed, same estimator.

    continue_from : continued on the rows it has not seen where the workload can; else, or when
        there are no such rows, the fit is from scratch.
    """
    started = time.perf_counter()
    if continue_from is not None:
        new = train.where(train.day > continue_from.trained_until)
        if new.n_rows:
            continued = workload.fit_more(continue_from.estimator, new, seed, progress)
            if continued is not None:
                elapsed_s = time.perf_counter() - started
                return Candidate(continued, elapsed_s, continue_from.runs_since_full + 1)
    estimator = workload.fit(train, seed, progress)
    return Candidate(estimator, time.perf_counter() - started, 0)


def library_versions(workload: Workload | None = None) -> dict[str, str]:
    """What a stored estimator depends on; of a workload, also what its own are made of."""
    found = {name: version(name) for name in RECORDED_LIBRARIES}
    own = workload.libraries() if workload is not None else {}
    return {"python": platform.python_version(), **found, **own}


def libraries_for(workload: str, parameters: Mapping[str, Any]) -> dict[str, str]:
    """The same, for parameters that the training process may still refuse."""
    try:
        return library_versions(open_workload(workload, parameters))
    except SettingsInvalid:
        return library_versions()
