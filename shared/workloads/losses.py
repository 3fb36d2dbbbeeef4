"""Score a regressor's predictions; the same in every workload that has one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.workloads.training import Score, TrainingSet


def score_regressor(predicted: NDArray[np.float64], holdout: TrainingSet, unit: str) -> Score:
    """MAE, RMSE and R²; the loss of a row is its absolute error.

    predicted : (n_rows,) in `unit`, for the rows of `holdout`.
    R² is left out where the target does not vary, everything where there is no row.
    """
    error = predicted - holdout.target
    metrics: dict[str, float] = {}
    if error.size:
        metrics["mae"] = float(np.abs(error).mean())
        metrics["rmse"] = float(np.sqrt(np.mean(error**2)))
        spread = float(np.sum((holdout.target - holdout.target.mean()) ** 2))
        if spread > 0:
            metrics["r2"] = 1.0 - float(np.sum(error**2)) / spread
    return Score(
        np.abs(error),
        holdout.day,
        holdout.slices,
        metrics,
        unit,
        predicted,
        scale=float(np.abs(holdout.target).max(initial=0.0)),
    )
