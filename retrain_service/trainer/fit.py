"""Fit a candidate on frozen rows: seed in, estimator and durations out. Judges nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.workloads.contract import Workload
from shared.workloads.training import Progress, TrainingSet


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
