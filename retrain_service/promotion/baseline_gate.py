"""The baseline gate: refuse a candidate that is surely worse than the naive baseline. Pure.

A first version often has a handful of held-out days, of which some are bad by chance: it is
refused only when it is surely worse.
"""

from __future__ import annotations

import numpy as np

from retrain_service.evaluation.block_length import block_length
from retrain_service.evaluation.day_blocks import totals
from retrain_service.evaluation.paired_bootstrap import students_t
from retrain_service.promotion.gate_result import GateResult, GateVerdict, change, percent
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
