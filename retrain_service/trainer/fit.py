"""Fit a candidate on frozen rows: seed in, estimator, duration and memory out. Judges nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

from retrain_service.trainer.windows import cut
from shared.versions.manifest import BASELINE
from shared.workloads.contract import Workload
from shared.workloads.training import Progress, TrainingSet

_LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Fitted:
    """An estimator that may be continued, which candidate it is, and what it has seen."""

    estimator: Any
    trained_until: np.datetime64
    runs_since_full: int
    name: str = "default"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fitted estimator, which of the workload's candidates it is, and what the fit took.

    fit_s : seconds. peak_mb : greatest growth of the process's memory while it was fitted.
    runs_since_full : 0 when it was trained from scratch.
    """

    estimator: Any
    fit_s: float
    runs_since_full: int
    name: str = "default"
    peak_mb: float = 0.0


def fit_candidate(
    workload: Workload,
    name: str,
    train: TrainingSet,
    seed: int,
    progress: Progress,
    clock: Callable[[], float] = time.perf_counter,
) -> Candidate:
    """Fit one of the workload's candidates, or its naive baseline, from scratch; same rows and
    seed, same estimator."""
    started = clock()
    with _peak_memory() as peak:
        if name == BASELINE:
            estimator = workload.fit_baseline(train)
        else:
            base, newest = cut(name, train)
            estimator = workload.fit_candidate(base, newest, seed, progress)
    return Candidate(estimator, clock() - started, 0, name, peak.mb)


def continue_fitted(
    workload: Workload, fitted: Fitted, train: TrainingSet, seed: int, progress: Progress
) -> Candidate | None:
    """Continue an estimator on the rows it has not seen; None where there are none or it cannot."""
    started = time.perf_counter()
    new = train.where(train.day > fitted.trained_until)
    if not new.n_rows:
        return None
    continued = workload.fit_more(fitted.estimator, new, seed, progress)
    if continued is None:
        return None
    elapsed_s = time.perf_counter() - started
    return Candidate(continued, elapsed_s, fitted.runs_since_full + 1, fitted.name)


class _Peak:
    mb = 0.0


@contextmanager
def _peak_memory() -> Iterator[_Peak]:
    """How far the process's resident memory grows meanwhile; looked at from a second thread."""
    process, peak, ended = psutil.Process(), _Peak(), threading.Event()
    before = process.memory_info().rss

    def look() -> None:
        grown = process.memory_info().rss - before
        peak.mb = max(peak.mb, round(grown / 1e6, 1))

    def watch() -> None:
        while not ended.wait(_LOOK_EVERY_S):
            look()

    watching = threading.Thread(target=watch, name="peak-memory", daemon=True)
    watching.start()
    try:
        yield peak
    finally:
        ended.set()
        watching.join()
        look()


def refit(
    workload: Workload,
    judged: Candidate,
    rows: TrainingSet,
    newest: TrainingSet,
    seed: int,
    progress: Progress,
) -> Candidate:
    """The recipe of a judged candidate on all rows: fitted anew, or where it was continued,
    continued once more.

    newest : those of the rows that `judged` has not seen. judged.estimator : only of one that was
        continued; else it may be gone, so that memory holds one estimator at a time.
    """
    if judged.runs_since_full:
        started = time.perf_counter()
        continued = workload.fit_more(judged.estimator, newest, seed, progress)
        if continued is not None:
            fit_s = time.perf_counter() - started
            return Candidate(continued, fit_s, judged.runs_since_full, judged.name)
    return fit_candidate(workload, judged.name, rows, seed, progress)
