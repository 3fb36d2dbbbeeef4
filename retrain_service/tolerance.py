"""Is the candidate's error small enough beside a rival's? Champion and anchor: one rule. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from retrain_service.bootstrap import Comparison, compare, fewest_days
from retrain_service.gate_result import GateResult, GateVerdict, percent
from shared.settings_per_model import GateSettings
from shared.workloads.base import Score

_ROUNDING = 1e-9  # sums of the same losses in another order differ by this much at most
_FAR_DAYS = 3650


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the candidate is compared with, and how much is allowed.

    limit : 0.10 allows an error 10 % above the rival's.
    must_be_better : as mode `superior` says; the limit is then not used.
    kept : the version that stays while nobody can tell. kept_days : how old it is.
    history_days : days of all rows, of which the holdout is the newest part.
    """

    rival: str
    limit: float
    must_be_better: bool
    kept: str
    kept_days: float
    history_days: int


def judge(
    gate: str, candidate: Score, rival: Score, allowed: Allowance, policy: GateSettings, seed: int
) -> GateResult:
    """Compare on the same rows. The value is the upper bound of the ratio, or in mode `point`,
    and where patience has run out, the ratio itself."""
    found = compare(
        candidate,
        rival,
        confidence=policy.confidence,
        block_days=policy.block_days,
        seed=seed,
    )
    bound = 1.0 if allowed.must_be_better else 1.0 + allowed.limit
    facts = (
        f"Error {found.candidate:.4g} {candidate.unit}, {allowed.rival} {found.rival:.4g} on the"
        f" same {found.n_rows} rows of {found.n_days} days"
    )

    def result(value: float, verdict: GateVerdict, shown: str, end: str) -> GateResult:
        sentence = f"{facts} ({shown}); {_allows(allowed)}: {end}"
        return GateResult(gate, value, bound, found.n_rows, verdict, sentence)

    change = percent(found.ratio - 1, signed=True) if math.isfinite(found.ratio) else "from none"
    by_means = _within(found.ratio, bound, strictly=allowed.must_be_better)
    missing = _missing(found, allowed, policy)
    is_patient = (
        allowed.must_be_better
        or not policy.patience_days
        or allowed.kept_days <= policy.patience_days
    )
    if missing and is_patient:
        return result(found.ratio, "insufficient_data", change, f"{missing}; {allowed.kept} stays.")
    if policy.mode == "point" and not missing:
        end = "fine." if by_means else _refusal(allowed)
        return result(found.ratio, "passed" if by_means else "failed", change, end)
    sure = f"with {percent(policy.confidence)} certainty at most " + (
        percent(found.upper - 1, signed=True) if math.isfinite(found.upper) else "anything"
    )
    if not missing and _within(found.upper, bound, strictly=allowed.must_be_better):
        return result(found.upper, "passed", f"{change}, {sure}", "fine.")
    if not by_means:
        value = found.ratio if missing else found.upper
        return result(
            value, "failed", change if missing else f"{change}, {sure}", _refusal(allowed)
        )
    if is_patient:
        end = f"not sure enough, {_days_needed(found, bound)}; {allowed.kept} stays."
        return result(found.upper, "insufficient_data", f"{change}, {sure}", end)
    end = (
        f"not sure, but {allowed.kept} is {allowed.kept_days:.0f} days old"
        f" (patience_days = {policy.patience_days}), so the means decide: fine."
    )
    return result(found.ratio, "passed", change, end)


def is_surely_better(candidate: Score, rival: Score, policy: GateSettings, seed: int) -> bool:
    """Whether the candidate's error is below the rival's with the policy's confidence."""
    found = compare(
        candidate, rival, confidence=policy.confidence, block_days=policy.block_days, seed=seed
    )
    return _within(found.upper, 1.0, strictly=True)


def _within(ratio: float, bound: float, *, strictly: bool) -> bool:
    return ratio < bound - _ROUNDING if strictly else ratio <= bound + _ROUNDING


def _allows(allowed: Allowance) -> str:
    if allowed.must_be_better:
        return "it must be better"
    return f"at most {percent(allowed.limit, signed=True)} allowed"


def _refusal(allowed: Allowance) -> str:
    return ("not better" if allowed.must_be_better else "worse") + "; not promoted."


def _missing(found: Comparison, allowed: Allowance, policy: GateSettings) -> str | None:
    """How many rows or days there are too few, in words; None when there are enough."""
    needed_days = policy.min_holdout_days
    if policy.mode != "point":
        needed_days = max(needed_days, fewest_days(policy.confidence, policy.block_days))
    if found.n_days < needed_days:
        missing = needed_days - found.n_days
        # The holdout is a share of the history, so the history must grow by as much.
        more = math.ceil(needed_days * allowed.history_days / found.n_days) - allowed.history_days
        grows = f" (about {more} more days of data)" if more > 0 else ""
        return f"too few days to tell, {needed_days} are needed, {missing} are missing{grows}"
    if found.n_rows < policy.min_holdout_rows:
        missing = policy.min_holdout_rows - found.n_rows
        return f"too few rows to tell, {policy.min_holdout_rows} are needed, {missing} are missing"
    return None


def _days_needed(found: Comparison, bound: float) -> str:
    """The half-width shrinks with the square root of the days."""
    room, width = bound - found.ratio, found.upper - found.ratio
    days = found.n_days * (width / room) ** 2 if room > 0 else math.inf
    if days > _FAR_DAYS:
        return "and no likely number of days would settle it"
    return f"about {math.ceil(days)} such days would settle it"
