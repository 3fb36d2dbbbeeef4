"""Draw losses of models whose true quality is known, with errors that go together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retrain_service.evaluation.scores import Evaluation, Reference
from shared.settings.per_model import GateSettings
from shared.workloads.training import Score

POLICY = GateSettings()
ROWS_PER_DAY = 20
N_SLICES = 5

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class World:
    """How errors go together.

    Residuals are normal: a part that no model can know, variance 1, and a part of each model's
    own, independent of the other models', of variance `own` for the best of them. `day_share` of
    either is the same for all rows of a day, and a day's share is correlated with the day before
    by `memory`.
    """

    n_days: int
    rows_per_day: int = ROWS_PER_DAY
    own: float = 0.05
    day_share: float = 0.3
    memory: float = 0.0

    def residuals(self, rng: np.random.Generator, variance: float) -> Floats:
        """(n_days * rows_per_day,)."""
        by_day = rng.normal(size=self.n_days)
        for day in range(1, self.n_days):
            new = math.sqrt(1 - self.memory**2) * by_day[day]
            by_day[day] = self.memory * by_day[day - 1] + new
        by_row = rng.normal(size=(self.n_days, self.rows_per_day))
        shared, own = math.sqrt(self.day_share), math.sqrt(1 - self.day_share)
        found: Floats = math.sqrt(variance) * (shared * by_day[:, None] + own * by_row)
        return found.ravel()

    def spread(self, n: int = 200) -> float:
        """How much the difference of the daily errors of two equal models spreads, as a share of
        the error."""
        one, other = replace(self, n_days=n).scores(np.random.default_rng(1), (1.0, 1.0))
        by_day = (one.loss - other.loss).reshape(n, -1).mean(axis=1)
        return float(by_day.std() / one.loss.mean())

    def scores(self, rng: np.random.Generator, errors: Sequence[float]) -> list[Score]:
        """One score per model on the same rows; the expected loss is proportional to `errors`.

        errors : true error of each model, 1 or more; 1 is a model whose own part is `own`.
        """
        unknowable = self.residuals(rng, 1.0)
        day = np.datetime64("2026-01-01", "D") + np.repeat(
            np.arange(self.n_days), self.rows_per_day
        )
        slices = np.array([f"part {i % N_SLICES}" for i in range(day.shape[0])])
        found = []
        for error in errors:
            # The mean of |normal| goes with its standard deviation.
            own = self.residuals(rng, (1 + self.own) * error**2 - 1.0)
            loss = np.abs(unknowable + own)
            found.append(Score(loss, day, slices, {}, "units"))
        return found


def errors_of(truth: float) -> tuple[float, float]:
    """Candidate and champion; the better of the two has error 1."""
    better = min(1 + truth, 1.0)
    return (1 + truth) / better, 1.0 / better


def evaluation_of(
    candidate: Score,
    champion: Score,
    anchor: Score | None = None,
    champion_age_days: float = 1.0,
) -> Evaluation:
    baseline = replace(champion, loss=champion.loss * 10)
    return Evaluation(
        candidate=candidate,
        baseline=baseline,
        champion=Reference("champion", champion, age_days=champion_age_days),
        anchor=Reference("anchor", anchor) if anchor is not None else None,
        version="candidate",
    )
