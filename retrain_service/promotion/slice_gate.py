"""The slice gate: no part, device or class may get much worse while the mean improves. Pure.

The burden of proof is turned round here: a slice stops a promotion only when it is surely worse.
With many slices some look bad by chance, so each must be sure at the confidence divided by their
number (Bonferroni); with few rows a slice has no say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrain_service.evaluation.block_length import block_length
from retrain_service.evaluation.day_blocks import totals
from retrain_service.promotion.gate_result import GateResult, percent
from shared.settings.per_model import GateSettings
from shared.workloads.contract import resolution
from shared.workloads.training import Score

GATE = "slices"
_FLOOR_SHARE = 0.1
"""A slice's error counts as at least this share of the mean error: from almost nothing to a
little more than nothing is many times worse and matters to nobody."""


@dataclass(frozen=True, slots=True)
class _Slices:
    """One entry per slice that has enough rows and days.

    p : how likely such losses are in a slice that is worse by just what is allowed, or less.
    """

    name: NDArray[np.str_]
    n_rows: NDArray[np.int64]
    candidate: NDArray[np.float64]
    champion: NDArray[np.float64]
    ratio: NDArray[np.float64]
    p: NDArray[np.float64]


def judge_slices(candidate: Score, champion: Score, policy: GateSettings) -> GateResult:
    """The worst slice decides."""
    bound = 1.0 + policy.slice_tolerance
    if not policy.slice_tolerance:
        return _skipped(candidate, "slice_tolerance is 0: slices are not looked at.")
    found = _compare_slices(candidate, champion, policy)
    n_slices = int(np.unique(candidate.slices).shape[0])
    n = int(found.name.shape[0])
    if n_slices < 2 or not n:
        why = "there is one slice, the whole" if n_slices < 2 else "no slice has enough rows"
        return _skipped(candidate, f"{why}: nothing to look at by slice.")
    level = (1 - policy.confidence) / n
    is_bad = found.p < level
    worst = int(np.lexsort((-found.ratio, found.p))[0] if is_bad.any() else found.ratio.argmax())
    facts = (
        f"of {n} slices the worst is {str(found.name[worst])!r}: error"
        f" {found.candidate[worst]:.4g} {candidate.unit}, champion {found.champion[worst]:.4g}"
        f" ({percent(found.ratio[worst] - 1, signed=True)}) on {found.n_rows[worst]} rows;"
        f" surely more than {percent(policy.slice_tolerance, signed=True)} stops a promotion"
    )
    end = (
        f": {int(is_bad.sum())} slices are; not promoted."
        if is_bad.sum() > 1
        else ": it is; not promoted."
        if is_bad.any()
        else ": none is."
    )
    return GateResult(
        GATE,
        float(found.ratio[worst]),
        bound,
        int(found.n_rows[worst]),
        "failed" if is_bad.any() else "passed",
        facts[0].upper() + facts[1:] + end,
    )


def _skipped(candidate: Score, sentence: str) -> GateResult:
    return GateResult(GATE, None, None, int(candidate.loss.shape[0]), "skipped", sentence)


def _compare_slices(candidate: Score, champion: Score, policy: GateSettings) -> _Slices:
    """A one-sided t test per slice on its excess loss, in blocks of days as the other gates."""
    names, slice_of_row = np.unique(candidate.slices, return_inverse=True)
    n_rows = np.bincount(slice_of_row)
    order = candidate.order
    mean = np.bincount(slice_of_row, candidate.loss) / n_rows
    champion_mean = np.bincount(slice_of_row, champion.loss) / n_rows
    floor = max(_FLOOR_SHARE * champion.error, resolution(candidate, champion)) ** order
    counted = np.maximum(champion_mean, floor)

    allowed = (1.0 + policy.slice_tolerance) ** order
    lift = (counted - champion_mean)[slice_of_row]
    excess = candidate.loss - allowed * (champion.loss + lift)
    block_days = block_length(candidate, champion, policy.block_days)
    found = totals(slice_of_row, candidate.day, excess, block_days)
    is_large = (
        (n_rows >= policy.min_slice_rows)
        & (found.n_days >= policy.min_holdout_days)
        & (found.n_blocks >= 2)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(counted > 0, mean / counted, np.where(mean > 0, np.inf, 1.0))
        ratio = ratio ** (1 / order)
    return _Slices(
        names[is_large],
        n_rows[is_large],
        mean[is_large] ** (1 / order),
        champion_mean[is_large] ** (1 / order),
        ratio[is_large],
        found.p_positive()[is_large],
    )
