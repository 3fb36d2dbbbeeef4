"""Score candidate, champion and naive baseline on the same newest rows. No verdict here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.workloads.base import Score, TrainingSet, Workload


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores whose row i is the same row of the holdout for all of them.

    champion : None when there is none, or when it cannot be scored (`champion_missing` says why).
    """

    candidate: Score
    baseline: Score
    champion: Score | None
    champion_missing: str | None

    @property
    def n_rows(self) -> int:
        return int(self.candidate.loss.shape[0])


def unseen(holdout: TrainingSet, trained_until: np.datetime64) -> TrainingSet:
    """The rows of a holdout that are later than the day a model was trained until."""
    return holdout.where(holdout.day > trained_until)


def evaluate(
    workload: Workload,
    candidate: Any,
    champion: Any | None,
    holdout: TrainingSet,
    champion_missing: str | None = None,
) -> Evaluation:
    """Score all three now, on rows that neither candidate nor champion was fitted on.

    holdout : rows that neither was fitted on; see `unseen`.
    """
    champion_score = workload.score(champion, holdout) if champion is not None else None
    return Evaluation(
        candidate=workload.score(candidate, holdout),
        baseline=workload.score_baseline(holdout),
        champion=champion_score,
        champion_missing=champion_missing,
    )
