"""What the gate lets through over many tries: small losses that add up, and a late champion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.gate.world import POLICY, World, errors_of, evaluation_of
from retrain_service.evaluation.scores import Evaluation
from retrain_service.promotion.decide import Promote, decide
from shared.settings.per_model import GateSettings
from shared.workloads.training import Score

NO_ANCHOR = 10.0  # the greatest max_total_regression there is

AnchorRule = Callable[[Evaluation, GateSettings], str]


def lower_error(evaluation: Evaluation, policy: GateSettings) -> str:
    """The anchor rule that comes to mind first: whoever has the lower error on this slice."""
    del policy
    anchor = evaluation.anchor
    assert anchor is not None
    assert anchor.score is not None
    is_lower = evaluation.candidate.loss.mean() <= anchor.score.loss.mean()
    return evaluation.version if is_lower else anchor.version


@dataclass(frozen=True, slots=True)
class Decay:
    """True error at the end as a multiple of the first version's, over the runs."""

    median: float
    worst: float
    promotions: float


def slow_decay(
    step: float, n_attempts: int, n_runs: int, seed: int, policy: GateSettings, rule: AnchorRule
) -> Decay:
    """Let a trainer offer, again and again, a candidate that is `step` worse than the champion.

    Each attempt is judged on 28 new days. worst : the 95th percentile of the runs.
    """
    world = World(28)
    ends, promotions = [], 0
    for run in range(n_runs):
        rng = np.random.default_rng((seed, run))
        champion = anchor = 1.0
        for _ in range(n_attempts):
            offered = champion * (1 + step)
            candidate, champion_score, anchor_score = world.scores(rng, (offered, champion, anchor))
            evaluation = evaluation_of(candidate, champion_score, anchor_score)
            if isinstance(decide(evaluation, policy, seed=seed), Promote):
                promotions += 1
                champion = offered
                if rule(evaluation, policy) == evaluation.version:
                    anchor = offered
        ends.append(champion)
    return Decay(
        float(np.median(ends)), float(np.quantile(ends, 0.95)), promotions / n_runs / n_attempts
    )


def late_tries(
    world: World, truth: float, n_days_held_out: int, n: int, seed: int, *, counts: bool = True
) -> float:
    """Share of champions that are replaced within the days of the world by a candidate whose error
    is truly (1 + truth) times theirs, asked anew each day of a champion that is old.

    world.n_days : the tries and the days held out for the first. counts : whether a try is told
        how many there were before it, as the daemon does.
    """
    n_tries = world.n_days - n_days_held_out
    replaced = 0
    for run in range(n):
        rng = np.random.default_rng((seed, run))
        candidate, champion = world.scores(rng, errors_of(truth))
        for tried in range(n_tries):
            held_out = slice(
                tried * world.rows_per_day, (tried + n_days_held_out) * world.rows_per_day
            )
            asked = evaluation_of(
                _part(candidate, held_out), _part(champion, held_out), champion_age_days=31.0
            )
            asked = replace(asked, late_tries=tried if counts else 0)
            if isinstance(decide(asked, POLICY, seed=seed), Promote):
                replaced += 1
                break
    return replaced / n


def _part(score: Score, rows: slice) -> Score:
    return replace(score, loss=score.loss[rows], day=score.day[rows], slices=score.slices[rows])
