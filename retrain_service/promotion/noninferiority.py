"""The noninferiority test of a candidate against champion or anchor, one rule for both. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from retrain_service.evaluation.paired_bootstrap import Comparison, compare
from retrain_service.promotion.gate_result import GateResult, GateVerdict, change, percent
from shared.settings.per_model import GateSettings
from shared.workloads.training import Score

_ROUNDING = 1e-9  # sums of the same losses in another order differ by this much at most
_FAR_DAYS = 3650
LATE_CONFIDENCE = 0.80
"""Asked for once the champion is older than `patience_days`; less where `confidence` is less."""


@dataclass(frozen=True, slots=True)
class Margin:
    """What the candidate is compared with, and how much is allowed.

    limit : 0.10 allows an error 10 % above the rival's.
    must_be_better : as mode `superior` says; the limit is then not used.
    kept : the version that stays while nobody can tell. kept_days : how old it is; None where
        its age makes no difference.
    history_days : days of all rows, of which the holdout is the newest part.
    """

    rival: str
    limit: float
    must_be_better: bool
    kept: str
    kept_days: float | None
    history_days: int


def check_noninferiority(
    gate: str, candidate: Score, rival: Score, allowed: Margin, policy: GateSettings, seed: int
) -> GateResult:
    """Compare on the same rows. The value is the upper bound of the ratio, or in mode `point`,
    and where there is no bound, the ratio itself."""
    confidence, patience = _certainty(allowed, policy)
    found = compare(
        candidate, rival, confidence=confidence, block_days=policy.block_days, seed=seed
    )
    bound = 1.0 if allowed.must_be_better else 1.0 + allowed.limit
    facts = (
        f"Error {found.candidate:.4g} {candidate.unit}, {allowed.rival} {found.rival:.4g} on the"
        f" same {found.n_rows} rows of {found.n_days} days"
    )

    def result(value: float, verdict: GateVerdict, shown: str, end: str) -> GateResult:
        sentence = f"{facts} ({shown}); {_allows(allowed)}: {end}"
        return GateResult(gate, value, bound, found.n_rows, verdict, sentence)

    mean = change(found.ratio)
    is_fine = _within(found.ratio, bound, strictly=allowed.must_be_better)
    missing = _missing(found, allowed, policy)
    if missing:
        return result(
            found.ratio, "insufficient_data", mean, f"{missing}; {allowed.kept} keeps serving."
        )
    if policy.mode == "point":
        end = "fine." if is_fine else _refusal(allowed)
        return result(found.ratio, "passed" if is_fine else "failed", mean, end)
    at_most = change(found.upper) if math.isfinite(found.upper) else "anything"
    shown = f"{mean}, with {percent(confidence)} certainty at most {at_most}"
    if _within(found.upper, bound, strictly=allowed.must_be_better):
        return result(found.upper, "passed", shown, f"{patience}fine.")
    if not is_fine:
        return result(found.upper, "failed", shown, _refusal(allowed))
    end = f"{patience}undecided, {_days_needed(found, bound)}; {allowed.kept} keeps serving."
    return result(found.upper, "insufficient_data", shown, end)


def _certainty(allowed: Margin, policy: GateSettings) -> tuple[float, str]:
    """The confidence that is asked for, and why where it is not the usual one.

    Patience is about doubt: less certainty is enough, but never none, and never fewer days.
    """
    days = allowed.kept_days
    late = min(policy.confidence, LATE_CONFIDENCE)
    is_late = bool(policy.patience_days) and days is not None and days > policy.patience_days
    if not is_late or allowed.must_be_better or policy.mode == "point":
        return policy.confidence, ""
    return late, (
        f"{allowed.kept} is {days:.0f} days old (patience_days = {policy.patience_days}), so"
        f" {percent(late)} certainty is enough: "
    )


def is_superior(candidate: Score, rival: Score, policy: GateSettings, seed: int) -> bool:
    """Whether the candidate's error is below the rival's with the policy's confidence."""
    found = compare(
        candidate, rival, confidence=policy.confidence, block_days=policy.block_days, seed=seed
    )
    return _within(found.upper, 1.0, strictly=True)


def _within(ratio: float, bound: float, *, strictly: bool) -> bool:
    return ratio < bound - _ROUNDING if strictly else ratio <= bound + _ROUNDING


def _allows(allowed: Margin) -> str:
    if allowed.must_be_better:
        return "it must be better"
    return f"at most {percent(allowed.limit, signed=True)} allowed"


def _refusal(allowed: Margin) -> str:
    return ("not better" if allowed.must_be_better else "worse") + "; not promoted."


def _missing(found: Comparison, allowed: Margin, policy: GateSettings) -> str | None:
    """How many rows or days there are too few, in words; None when there are enough."""
    missing = policy.min_holdout_days - found.n_days
    if policy.mode != "point":
        missing = max(missing, found.n_days_missing)
    if missing > 0:
        needed_days = found.n_days + missing
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
