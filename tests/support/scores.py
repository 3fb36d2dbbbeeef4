"""Scores with errors of a known size, for what judges them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrain_service.evaluation.scores import Evaluation, Reference
from shared.workloads.training import Score

FIRST_DAY = np.datetime64("2026-01-01", "D")


def a_score(
    error: float | NDArray[np.float64],
    n_days: int = 40,
    *,
    rows_per_day: int = 1,
    slices: Sequence[str] = ("a",),
    prediction: NDArray[np.float64] | None = None,
    span_days: int = 1,
    order: int = 1,
) -> Score:
    """`error` for every row, or one for each; slices go round."""
    n_rows = n_days * rows_per_day
    loss = np.full(n_rows, error) if isinstance(error, float | int) else error
    return Score(
        loss=loss,
        day=FIRST_DAY + np.repeat(np.arange(n_days), rows_per_day),
        slices=np.array([slices[i % len(slices)] for i in range(n_rows)], dtype=np.str_),
        metrics={"mae": float(loss.mean()) if n_rows else float("nan")},
        unit="pieces",
        prediction=prediction,
        span_days=span_days,
        order=order,
    )


def noisy(mean: float, n_days: int, rows_per_day: int = 1, seed: int = 0) -> NDArray[np.float64]:
    """Positive errors around `mean` that go together within a day."""
    rng = np.random.default_rng(seed)
    by_day = np.repeat(rng.gamma(4.0, 0.25, n_days), rows_per_day)
    found: NDArray[np.float64] = mean * by_day * rng.gamma(4.0, 0.25, n_days * rows_per_day)
    return found


def an_evaluation(
    candidate: Score,
    *,
    champion: Score | None = None,
    anchor: Score | None = None,
    baseline: Score | None = None,
    champion_age_days: float = 1.0,
    history_days: int = 0,
) -> Evaluation:
    n_rows = candidate.loss.shape[0]
    worst = float(candidate.loss.max()) if n_rows and np.isfinite(candidate.loss).all() else 1.0
    poor = Score(np.full(n_rows, 10 * worst), candidate.day, candidate.slices, {}, "pieces")
    return Evaluation(
        candidate=candidate,
        baseline=baseline or poor,
        champion=Reference("v000006", champion, age_days=champion_age_days) if champion else None,
        anchor=Reference("v000002", anchor, age_days=90.0) if anchor else None,
        version="v000007",
        history_days=history_days,
    )
