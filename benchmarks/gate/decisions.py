"""What the default gate decides in one try; beside it what most people write first.

That is: promote when the mean error is at most 10 % worse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.gate.world import POLICY, World, errors_of, evaluation_of
from retrain_service.evaluation.paired_bootstrap import N_RESAMPLES, compare, losses_by_day
from retrain_service.evaluation.scores import Evaluation
from retrain_service.promotion.decide import InsufficientData, Promote, decide
from shared.settings.per_model import GateSettings


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of decisions: the gate's three verdicts, and the plain rule's promotions."""

    promoted: float
    rejected: float
    insufficient: float
    plain: float


def decision_rates(
    world: World,
    truth: float,
    n: int,
    seed: int,
    policy: GateSettings = POLICY,
    champion_age_days: float = 1.0,
    late_tries: int = 0,
) -> Rates:
    """Ask `n` times about a candidate whose error is truly (1 + truth) times the champion's."""
    rng = np.random.default_rng(seed)
    promoted = insufficient = plain = 0
    for _ in range(n):
        candidate, champion = world.scores(rng, errors_of(truth))
        evaluation = evaluation_of(candidate, champion, champion_age_days=champion_age_days)
        evaluation = replace(evaluation, late_tries=late_tries)
        verdict = decide(evaluation, policy, seed=seed)
        promoted += isinstance(verdict, Promote)
        insufficient += isinstance(verdict, InsufficientData)
        plain += bool(candidate.loss.mean() <= (1 + policy.max_regression) * champion.loss.mean())
    rejected = n - promoted - insufficient
    return Rates(promoted / n, rejected / n, insufficient / n, plain / n)


def first_versions(world: World, truth: float, n: int, seed: int) -> tuple[float, float]:
    """How often a first version is promoted whose error is truly (1 + truth) times the naive
    baseline's: by the gate, and by the rule that its mean may not be above the baseline's."""
    rng = np.random.default_rng(seed)
    ours = plain = 0
    for _ in range(n):
        candidate, baseline = world.scores(rng, errors_of(truth))
        ours += isinstance(decide(Evaluation(candidate, baseline), POLICY), Promote)
        plain += bool(candidate.loss.mean() <= baseline.loss.mean())
    return ours / n, plain / n


def bound_errors(world: World, n: int, seed: int) -> tuple[float, float]:
    """How often a model exactly at the limit is promoted: by the gate's bound, and by the plain
    95th percentile of the same bootstrap. Both should be 0.05."""
    limit, confidence = POLICY.max_regression, POLICY.confidence
    rng = np.random.default_rng(seed)
    ours = plain = 0
    for _ in range(n):
        candidate, champion = world.scores(rng, errors_of(limit))
        ours += compare(candidate, champion, confidence=confidence, seed=seed).upper <= 1 + limit
        _, losses = losses_by_day(candidate, champion)
        picked = rng.integers(0, world.n_days, (N_RESAMPLES, world.n_days))
        sums = losses[picked].sum(axis=1)
        plain += bool(np.quantile(sums[:, 0] / sums[:, 1], confidence) <= 1 + limit)
    return ours / n, plain / n
