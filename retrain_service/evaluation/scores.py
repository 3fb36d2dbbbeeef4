"""Score candidate, references and naive baseline on the same holdout. Gives no verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from shared.workloads.contract import Workload
from shared.workloads.rows import FeatureSpec
from shared.workloads.training import Score, TrainingSet


@dataclass(frozen=True, slots=True)
class FeatureContract:
    """What a version asks of its clients and of the environment that opens it.

    libraries : distribution -> version it was trained with.
    predicts : what its answers are, as its workload says it; "" where that goes without saying.
    """

    version: str
    workload: str
    features: tuple[FeatureSpec, ...]
    libraries: Mapping[str, str]
    predicts: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """A published version that the candidate is compared with.

    score : on the same rows as the candidate's; None when it cannot be had.
    missing : why there is no score, as a clause; None when there is one.
    age_days : since it was trained.
    lacks : what there would have to be for a score: an estimator or form that answers; a contract
        like the candidate's; or any version that verifies.
    note : what is unusual about how it was scored, as a clause.
    is_baseline : whether it is the workload's naive baseline.
    """

    version: str
    score: Score | None
    missing: str | None = None
    age_days: float = 0.0
    lacks: Literal["answers", "contract", "version"] = "answers"
    note: str = ""
    is_baseline: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores whose row i is the same row of the holdout for all of them.

    champion : what is served; None when nothing is yet.
    anchor : the best version so far; None when none is recorded.
    late_tries : candidates that were judged against this champion and not promoted since it got
        older than `max_undecided_days`.
    can_serve_baseline : whether the naive baseline could be published.
    version : the candidate's. history_days : days of all rows, train and holdout.
    target_varies : whether the holdout's targets differ from each other.
    offered, served : the contracts of the candidate and of what is served; `served` is None where
        nothing is served that this code can open.
    """

    candidate: Score
    baseline: Score
    champion: Reference | None = None
    anchor: Reference | None = None
    version: str = "the candidate"
    history_days: int = 0
    target_varies: bool = True
    offered: FeatureContract | None = None
    served: FeatureContract | None = None
    late_tries: int = 0
    can_serve_baseline: bool = False

    @property
    def of_baseline(self) -> Evaluation:
        """The same with the naive baseline as the candidate."""
        return replace(self, candidate=self.baseline)

    @property
    def n_rows(self) -> int:
        return int(self.candidate.loss.shape[0])


def unseen(holdout: TrainingSet, trained_until: np.datetime64) -> TrainingSet:
    """The rows of a holdout that are later than the day a model was trained until."""
    return holdout.where(holdout.day > trained_until)


def score_on(workload: Workload, estimator: Any, holdout: TrainingSet) -> Score:
    """Score an estimator; no estimator is asked about no rows."""
    return workload.score(estimator, holdout) if holdout.n_rows else _no_rows(holdout)


def score_baseline_on(workload: Workload, holdout: TrainingSet) -> Score:
    """Score the workload's naive baseline on the same rows."""
    return workload.score_baseline(holdout) if holdout.n_rows else _no_rows(holdout)


def varies(target: np.ndarray[Any, np.dtype[Any]]) -> bool:
    """Whether not all targets are the same."""
    return bool(target.shape[0] > 1 and (target != target[0]).any())


def _no_rows(holdout: TrainingSet) -> Score:
    return Score(np.zeros(0), holdout.day, holdout.slices, {}, "")


def metrics_of(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    """Named metrics of everybody who was scored.

    JSON has no NaN: a metric that is undefined on this holdout is left out.
    """
    scores = {"candidate": evaluation.candidate, "baseline": evaluation.baseline}
    for name, rival in (("champion", evaluation.champion), ("anchor", evaluation.anchor)):
        if rival is not None and rival.score is not None:
            scores[name] = rival.score
    return {
        name: {metric: value for metric, value in score.metrics.items() if np.isfinite(value)}
        for name, score in scores.items()
    }
