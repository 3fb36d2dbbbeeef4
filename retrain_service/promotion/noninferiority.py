"""The noninferiority test of a candidate against champion or anchor, one rule for both. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from retrain_service.evaluation.paired_bootstrap import (
    Comparison,
    compare,
    errors_to_ratio,
    p_of_ratio,
)
from retrain_service.promotion.gate_result import GateResult, GateVerdict, change, percent
from shared.settings.per_model import GateSettings
from shared.workloads.training import Score

_ROUNDING = 1e-9  # sums of the same losses in another order differ by this much at most
_FAR_DAYS = 3650
LATE_CONFIDENCE = 0.80
"""Asked for once the champion is older than `max_undecided_days`, at the first try; later tries
come back to `confidence`, since each of them could let a worse model through."""
FAR_WORSE = 2.0
"""A candidate may not be worse by this many times what is allowed ..."""
FAR_WORSE_CERTAINTY = 0.99
"""... with this certainty, whatever else is asked: where the noise is great, a bound at 95 % lets
what is far worse pass almost as often as what is at the limit."""
FAR_AWAY_ERRORS = 20.0
"""So many standard errors below it, it is ruled out however unlike the days' losses are."""


@dataclass(frozen=True, slots=True)
class Margin:
    """What the candidate is compared with, and how much is allowed.

    limit : 0.10 allows an error 10 % above the rival's.
    must_be_better : as mode `superior` says; the limit is then not used.
    kept : the version that stays while nobody can tell. kept_days : how old it is; None where
        its age makes no difference. late_tries : candidates that were judged and not promoted
        since it got older than `max_undecided_days`.
    history_days : days of all rows, of which the holdout is the newest part.
    """

    rival: str
    limit: float
    must_be_better: bool
    kept: str
    kept_days: float | None
    history_days: int
    late_tries: int = 0


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
    stays = f"{allowed.kept} keeps serving."
    is_fine = _within(found.ratio, bound, strictly=allowed.must_be_better)
    missing = _missing(found, allowed, policy)
    if missing:
        return result(found.ratio, "insufficient_data", mean, f"{missing}; {stays}")
    if policy.mode == "point":
        end = "fine." if is_fine else _refusal(allowed)
        return result(found.ratio, "passed" if is_fine else "failed", mean, end)
    if found.n_days_missing and is_fine:  # so few days carry no bound
        if found.ratio <= 1.0 + _ROUNDING and not allowed.must_be_better:
            return result(found.ratio, "passed", mean, "on so few days, no worse at all: fine.")
        end = f"undecided, a bound takes {found.n_days_missing} more days; {stays}"
        return result(found.ratio, "insufficient_data", mean, end)
    at_most = change(found.upper) if math.isfinite(found.upper) else "anything"
    shown = f"{mean}, with {percent(confidence)} certainty at most {at_most}"
    if not is_fine:
        return result(found.upper, "failed", shown, _refusal(allowed))
    if not _within(found.upper, bound, strictly=allowed.must_be_better):
        end = f"{patience}undecided, {_days_needed(found, bound)}; {stays}"
        return result(found.upper, "insufficient_data", shown, end)
    far = 1.0 + FAR_WORSE * allowed.limit
    doubt = (1 - FAR_WORSE_CERTAINTY) / (1 + allowed.late_tries)
    is_far_away = (
        found.upper <= 1.0
        or allowed.must_be_better
        or errors_to_ratio(candidate, rival, far, found.block_days) >= FAR_AWAY_ERRORS
    )
    if not is_far_away and p_of_ratio(candidate, rival, far, found.block_days) > doubt:
        end = (
            f"{patience}undecided, {change(far)} cannot be ruled out with"
            f" {percent(1 - doubt)} certainty; {stays}"
        )
        return result(found.upper, "insufficient_data", shown, end)
    return result(found.upper, "passed", shown, f"{patience}fine.")


def _certainty(allowed: Margin, policy: GateSettings) -> tuple[float, str]:
    """The confidence that is asked for, and why where it is not the usual one.

    Patience is about doubt: less certainty is enough, but never none, and never fewer days.
    """
    days, limit_days = allowed.kept_days, policy.max_undecided_days
    is_late = bool(limit_days) and days is not None and days > limit_days
    if not is_late or allowed.must_be_better or policy.mode == "point":
        return policy.confidence, ""
    easier = max(policy.confidence - LATE_CONFIDENCE, 0.0) / (1 + allowed.late_tries)
    late = policy.confidence - easier
    tries = f" after {allowed.late_tries} tries" if allowed.late_tries else ""
    return late, (
        f"{allowed.kept} is {days:.0f} days old (max_undecided_days = {limit_days}), so"
        f" {percent(late)} certainty is enough{tries}: "
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
    """How many rows or days there are too few, in words; None when there are enough.

    Fewer days than a bound needs are enough only where the settings ask for fewer.
    """
    needed_days = policy.min_holdout_days
    missing = needed_days - found.n_days
    if missing > 0:
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
