"""The baseline gate: refuse a candidate that is surely worse than the naive baseline. Pure.

A first version often has a handful of held-out days, of which some are bad by chance: it is
refused only when it is surely worse.
"""

from __future__ import annotations

import numpy as np

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
    error, naive = float(candidate.loss.mean()), float(baseline.loss.mean())
    one_group = np.zeros(n, dtype=np.int64)
    found = totals(one_group, candidate.day, candidate.loss - baseline.loss, policy.block_days)
    n_days, n_blocks = int(found.n_days[0]), int(found.n_blocks[0])
    facts = (
        f"Error {error:.4g} {candidate.unit}, naive baseline {naive:.4g} on the same {n} rows of"
        f" {n_days} days"
    )

    def result(verdict: GateVerdict, shown: str, end: str) -> GateResult:
        return GateResult(GATE, error, naive, n, verdict, f"{facts} ({shown}): {end}")

    ratio = error / naive if naive else np.inf if error else 1.0
    if error - naive <= resolution(candidate, baseline):
        return result("passed", change(ratio), "no worse.")
    if n_blocks < 2:
        end = "too few days to tell whether it is worse than the naive baseline; not promoted yet."
        return result("insufficient_data", change(ratio), end)
    t = students_t(policy.confidence, n_blocks - 1)
    surely_more = float(found.total[0] - t * found.error[0]) / n
    least = (naive + surely_more) / naive if naive else np.inf
    shown = f"{change(ratio)}, with {percent(policy.confidence)} certainty at least {change(least)}"
    if surely_more > resolution(candidate, baseline):
        return result("failed", shown, "worse than the naive baseline; not promoted.")
    return result("passed", shown, "not surely worse.")
