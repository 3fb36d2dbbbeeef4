"""Losses of a regression: what a fit minimises, and by what its answers are judged.

Knows no workload and no estimator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shared.workloads.training import RowAnswers, Score, TrainingSet

Floats = NDArray[np.float64]
LossName = Literal["absolute", "squared", "quantile", "poisson", "gamma"]

_SMALLEST = 1e-9
"""What a deviance takes for an answer of nothing or less, as a share of the mean target."""


@dataclass(frozen=True, slots=True)
class Loss:
    """level : of a quantile, 0 to 1.

    A median is judged by absolute errors and a mean by squares; a mean of counts or of amounts
    whose spread grows with them by the deviance of the Poisson or the gamma distribution
    (McCullagh and Nelder, Generalized Linear Models, 1989, section 2.3).
    """

    name: LossName = "absolute"
    level: float = 0.5

    @property
    def order(self) -> int:
        """As in `Score`."""
        return 1 if self.name in ("absolute", "quantile") else 2

    def of_rows(self, predicted: Floats, target: Floats) -> Floats:
        """(n_rows,) >= 0, and 0 where the answer is right.

        Targets that the distribution does not have (below 0, and 0 of gamma) are taken by squares.
        """
        error = target - predicted
        if self.name == "absolute":
            return np.abs(error)
        if self.name == "quantile":
            # Twice the pinball loss: at the median it is the absolute error.
            return np.asarray(2 * np.maximum(self.level * error, (self.level - 1) * error))
        if not self.fits(target):
            return np.asarray(error**2)
        answer = np.maximum(predicted, _SMALLEST * max(float(np.mean(target)), _SMALLEST))
        ratio = np.divide(target, answer)
        if self.name == "poisson":
            logarithm = np.log(np.where(target > 0, ratio, 1.0))
            return np.asarray(np.maximum(2 * (target * logarithm - target + answer), 0.0))
        return np.asarray(np.maximum(2 * (ratio - 1 - np.log(ratio)), 0.0))

    def fits(self, target: Floats) -> bool:
        """Whether these rows are judged by their deviance; False of the other losses too."""
        lowest = float(target.min(initial=np.inf))
        return {"poisson": lowest >= 0, "gamma": lowest > 0}.get(self.name, False)

    def best_constant(self, target: Floats) -> float:
        """What minimises the loss where the same is answered to every row; 0 of no rows."""
        if not target.size:
            return 0.0
        if self.order == 1:
            return float(np.quantile(target, self.level))
        return float(np.mean(target))


ABSOLUTE = Loss()


def score_regressor(
    predicted: Floats, holdout: TrainingSet, unit: str, loss: Loss = ABSOLUTE
) -> Score:
    """MAE, RMSE and R², whichever the loss is that the rows are judged by.

    predicted : (n_rows,) in `unit`, for the rows of `holdout`.
    R² is left out where the target does not vary, everything where there is no row.
    """
    error = predicted - holdout.target
    metrics: dict[str, float] = {}
    by_row = loss.of_rows(predicted, holdout.target)
    if error.size:
        metrics["mae"] = float(np.abs(error).mean())
        metrics["rmse"] = float(np.sqrt(np.mean(error**2)))
        if loss.name == "quantile":
            metrics["pinball"] = float(by_row.mean()) / 2
            metrics["share_below"] = float((error >= 0).mean())
        elif loss.fits(holdout.target):
            metrics[f"{loss.name}_deviance"] = float(by_row.mean())
        spread = float(np.sum((holdout.target - holdout.target.mean()) ** 2))
        if spread > 0:
            metrics["r2"] = 1.0 - float(np.sum(error**2)) / spread
    return Score(
        by_row,
        holdout.day,
        holdout.slices,
        metrics,
        f"root of the {loss.name} deviance" if loss.fits(holdout.target) else unit,
        predicted,
        rows=RowAnswers(holdout.target, predicted, unit),
        scale=float(np.abs(holdout.target).max(initial=0.0)),
        order=loss.order,
    )
