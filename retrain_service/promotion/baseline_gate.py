"""The baseline gates: candidate and champion against the naive baseline. Pure.

A first version often has a handful of held-out days, of which some are bad by chance: it is
refused only when it is surely worse.
"""

from __future__ import annotations

import numpy as np

from retrain_service.evaluation.block_length import block_length
from retrain_service.evaluation.day_blocks import totals
from retrain_service.evaluation.paired_bootstrap import students_t
from retrain_service.evaluation.scores import Evaluation, Reference
from retrain_service.promotion.gate_result import (
    BASELINE_SERVES,
    GateResult,
    GateVerdict,
    change,
    percent,
)
from retrain_service.promotion.noninferiority import is_superior
from retrain_service.promotion.sanity_gate import judge_constant, judge_finite
from shared.settings.per_model import GateSettings
from shared.workloads.contract import resolution
from shared.workloads.training import Score

GATE = "baseline"


def judge_baseline(candidate: Score, baseline: Score, policy: GateSettings) -> GateResult:
    """The value is the candidate's mean error, the bound the baseline's."""
    n = int(candidate.loss.shape[0])
    error, naive = candidate.error, baseline.error
    block_days = block_length(candidate, baseline, policy.block_days)
    one_group = np.zeros(n, dtype=np.int64)
    found = totals(one_group, candidate.day, candidate.loss - baseline.loss, block_days)
    n_days, n_blocks = int(found.n_days[0]), int(found.n_blocks[0])
    facts = (
        f"Error {error:.4g} {candidate.unit}, naive baseline {naive:.4g} on the same {n} rows of"
        f" {n_days} days"
    )

    def result(verdict: GateVerdict, shown: str, end: str) -> GateResult:
        return GateResult(GATE, error, naive, n, verdict, f"{facts} ({shown}): {end}")

    least = resolution(candidate, baseline)
    is_tied = abs(error - naive) <= least
    ratio = 1.0 if is_tied else error / naive if naive > least else np.inf
    if is_tied or error < naive:
        return result("passed", change(ratio), "no worse.")
    if n_blocks < 2:
        end = "too few days to tell whether it is worse than the naive baseline; not promoted yet."
        return result("insufficient_data", change(ratio), end)
    t = students_t(policy.confidence, n_blocks - 1)
    order = candidate.order
    surely = naive**order + float(found.total[0] - t * found.error[0]) / n
    surely_error = max(surely, 0.0) ** (1 / order)
    surely_ratio = surely_error / naive if naive > least else np.inf
    shown = (
        f"{change(ratio)}, with {percent(policy.confidence)} certainty at least"
        f" {change(surely_ratio)}"
    )
    if surely_error - naive > least:
        return result("failed", shown, "worse than the naive baseline; not promoted.")
    return result("passed", shown, "not surely worse.")


def judge_beside_champion(
    evaluation: Evaluation, champion: Reference, policy: GateSettings, seed: int
) -> GateResult:
    """Of a candidate that the champion let pass: the baseline refuses it only where what serves is
    no worse, or where the baseline itself is to be served."""
    found = judge_baseline(evaluation.candidate, evaluation.baseline, policy)
    if not found.stops or champion.score is None or _serves(evaluation, policy, seed):
        return found
    if not is_superior(evaluation.candidate, champion.score, policy, seed):
        return found
    facts = found.sentence.removesuffix("; not promoted.").removesuffix("; not promoted yet.")
    sentence = f"{facts}, but surely better than {champion.version}, which serves."
    return GateResult(found.gate, found.value, found.bound, found.n, "passed", sentence)


def judge_serving_baseline(evaluation: Evaluation, policy: GateSettings, seed: int) -> GateResult:
    """Whether the naive baseline itself is surely the best of the three: it is then served, since
    a world that has changed is no reason to keep what it left behind.

    The value is the baseline's error, the bound the champion's.
    """
    n, champion, naive = evaluation.n_rows, evaluation.champion, evaluation.baseline
    if champion is None or champion.score is None or not _serves(evaluation, policy, seed):
        sentence = "the naive baseline is not surely the best of the three."
        return GateResult(BASELINE_SERVES, None, None, n, "failed", sentence)
    error = champion.score.error
    beside = (
        f"candidate's {evaluation.candidate.error:.4g} and the " if _is_sane(evaluation) else ""
    )
    sentence = (
        f"The naive baseline is served: its error {naive.error:.4g} {naive.unit} is surely below"
        f" the {beside}champion's {error:.4g} on the same {n} rows. A candidate that is surely"
        " better takes its place."
    )
    return GateResult(BASELINE_SERVES, naive.error, error, n, "passed", sentence)


def _serves(evaluation: Evaluation, policy: GateSettings, seed: int) -> bool:
    champion, naive = evaluation.champion, evaluation.baseline
    if champion is None or champion.score is None or champion.is_baseline:
        return False
    if not evaluation.can_serve_baseline or evaluation.n_rows < policy.min_holdout_rows:
        return False
    if np.unique(naive.day).shape[0] < policy.min_holdout_days:
        return False
    if not is_superior(naive, champion.score, policy, seed):
        return False
    return not _is_sane(evaluation) or is_superior(naive, evaluation.candidate, policy, seed)


def _is_sane(evaluation: Evaluation) -> bool:
    return not (judge_finite(evaluation).stops or judge_constant(evaluation).stops)
