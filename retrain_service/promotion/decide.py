"""Scores + policy → Promote, Reject or InsufficientData. Pure; every gate is written down.

The seven gates, each in its own words: `data_gate` before the fit; here sanity, champion, slices,
anchor and contract; `trial_gate` after the version was staged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from retrain_service.evaluation.scores import Evaluation, Reference
from retrain_service.promotion.baseline_gate import (
    judge_baseline,
    judge_beside_champion,
    judge_serving_baseline,
)
from retrain_service.promotion.contract_gate import judge_contract
from retrain_service.promotion.data_gate import check_data
from retrain_service.promotion.gate_result import (
    GateResult,
    GateVerdict,
    InsufficientData,
    Promote,
    Reject,
    Verdict,
    conclude,
    reason,
)
from retrain_service.promotion.newest_days import check_newest_days
from retrain_service.promotion.noninferiority import Margin, check_noninferiority, is_superior
from retrain_service.promotion.refit_gate import judge_refit
from retrain_service.promotion.sanity_gate import judge_constant, judge_finite, judge_unknown
from retrain_service.promotion.slice_gate import judge_slices
from retrain_service.promotion.trial_gate import judge_trial
from shared.loading.trial_load import TrialResult
from shared.settings.per_model import GateSettings
from shared.workloads.training import Score, TrainingSet

__all__ = [
    "GateResult",
    "InsufficientData",
    "Promote",
    "Reject",
    "Verdict",
    "anchor_after",
    "check_data",
    "check_newest_days",
    "check_refit",
    "check_trial",
    "decide",
    "reason",
]


def decide(
    evaluation: Evaluation,
    policy: GateSettings,
    *,
    before: Iterable[GateResult] = (),
    seed: int = 0,
) -> Verdict:
    """Go through the gates in order; the first failure stops; what is missing fails.

    Where the candidate is stopped, and the naive baseline is surely better than it and than what
    serves, the verdict is to promote the baseline.

    before : gates that were passed already; they stay in the verdict.
    seed : of the resampling; same scores and seed, same verdict.
    """
    verdict = conclude(_gates(evaluation, policy, seed), before)
    if isinstance(verdict, Promote):
        return verdict
    of_baseline = conclude(_baseline_gates(evaluation, policy, seed))
    if not isinstance(of_baseline, Promote):
        return verdict
    return Promote((*verdict.gates, *of_baseline.gates), serves_baseline=True)


def check_refit(
    holdout: TrainingSet,
    evaluation: Evaluation,
    refit: Score,
    policy: GateSettings,
    before: Iterable[GateResult],
) -> Verdict:
    """What was fitted on all rows, beside the twin that was judged, on the rows of the holdout."""
    twin, naive_error = evaluation.candidate, evaluation.baseline.error
    return conclude([judge_refit(holdout, twin, refit, policy, naive_error)], before)


def check_trial(tried: TrialResult, policy: GateSettings, before: Iterable[GateResult]) -> Verdict:
    """The last gate: what the trial load measured, against the limits."""
    return conclude(judge_trial(tried, policy), before)


def anchor_after(evaluation: Evaluation, policy: GateSettings, seed: int = 0) -> str:
    """The anchor once the candidate is promoted: it takes over only when it is surely better.

    By the lower error alone, each candidate that is a little worse but looks a little better by
    chance would move the anchor down with it, and small losses would add up after all.
    Where the old anchor cannot be scored, the champion stands in for it.
    """
    for rival in (evaluation.anchor, evaluation.champion):
        if rival is not None and rival.score is not None:
            is_better = is_superior(evaluation.candidate, rival.score, policy, seed)
            return evaluation.version if is_better else rival.version
    return evaluation.version


def _gates(evaluation: Evaluation, policy: GateSettings, seed: int) -> Iterator[GateResult]:
    n = evaluation.n_rows
    yield GateResult(
        "holdout",
        float(n),
        1.0,
        n,
        "passed" if n else "insufficient_data",
        f"{n} rows that no model was fitted on."
        if n
        else "no row is newer than what candidate and champion were fitted on;"
        " the champion stays until there is.",
    )
    yield judge_finite(evaluation)
    yield judge_constant(evaluation)
    yield from judge_unknown(evaluation.candidate)
    if evaluation.champion is None:
        yield judge_baseline(evaluation.candidate, evaluation.baseline, policy)
        yield _champion(evaluation, policy, seed)
    else:
        # The champion first: what a change of the world has made bad is no reason to keep it.
        yield _champion(evaluation, policy, seed)
        yield judge_beside_champion(evaluation, evaluation.champion, policy, seed)
    yield _slices(evaluation, policy)
    yield _anchor(evaluation, policy, seed)
    yield judge_contract(evaluation.offered, evaluation.served, n, policy)


def _baseline_gates(
    evaluation: Evaluation, policy: GateSettings, seed: int
) -> Iterator[GateResult]:
    """Whether the naive baseline is the best of the three, and may be served."""
    of_baseline = evaluation.of_baseline
    yield judge_serving_baseline(evaluation, policy, seed)
    yield _anchor(of_baseline, policy, seed)
    yield judge_contract(evaluation.offered, evaluation.served, evaluation.n_rows, policy)


def _champion(evaluation: Evaluation, policy: GateSettings, seed: int) -> GateResult:
    n, champion = evaluation.n_rows, evaluation.champion
    if champion is None:
        sentence = "There is no champion yet: promoted."
        return GateResult("champion", None, None, n, "skipped", sentence)
    if champion.score is None:
        return _unscored(champion, evaluation, policy)
    allowed = Margin(
        rival="champion" + _noted(champion),
        limit=policy.max_regression,
        # Who stood in for a model that failed stays until a model is surely better.
        must_be_better=policy.mode == "superior" or champion.is_baseline,
        kept=champion.version,
        kept_days=champion.age_days,
        history_days=evaluation.history_days,
        late_tries=evaluation.late_tries,
    )
    return check_noninferiority(
        "champion", evaluation.candidate, champion.score, allowed, policy, seed
    )


def _unscored(champion: Reference, evaluation: Evaluation, policy: GateSettings) -> GateResult:
    """Nobody can tell whether the candidate is better: that is for a person to decide, except
    where another gate asks for a person's word, or where there is nothing left to compare with."""
    found = f"The champion {champion.version} cannot be scored ({champion.missing})"
    verdict: GateVerdict = "skipped"
    if champion.lacks == "version":
        end = ", and no other version verifies: promoted."
    elif champion.lacks == "contract" and evaluation.served is not None:
        end = ": the contract decides."
    elif policy.allow_unscored_champion:
        end = "; allow_unscored_champion permits it: promoted."
    else:
        verdict = "insufficient_data"
        end = (
            f", so nobody can tell which is better; {champion.version} stays until a person sets"
            " allow_unscored_champion = true, or goes back to the libraries it was trained with."
        )
    return GateResult("champion", None, None, evaluation.n_rows, verdict, found + end)


def _noted(rival: Reference) -> str:
    return f" ({rival.note})" if rival.note else ""


def _slices(evaluation: Evaluation, policy: GateSettings) -> GateResult:
    champion = evaluation.champion
    if champion is None or champion.score is None:
        sentence = "no champion to compare with by slice."
        return GateResult("slices", None, None, evaluation.n_rows, "skipped", sentence)
    return judge_slices(evaluation.candidate, champion.score, policy)


def _anchor(evaluation: Evaluation, policy: GateSettings, seed: int) -> GateResult:
    n, anchor, champion = evaluation.n_rows, evaluation.anchor, evaluation.champion
    if anchor is None:
        return GateResult("anchor", None, None, n, "skipped", "no best past version is recorded.")
    if anchor.score is None:
        sentence = (
            f"the best past version {anchor.version} cannot be scored any more"
            f" ({anchor.missing}): skipped."
        )
        return GateResult("anchor", None, None, n, "skipped", sentence)
    kept: Reference = champion or anchor
    allowed = Margin(
        rival=f"best past version {anchor.version}" + _noted(anchor),
        limit=policy.max_total_regression,
        must_be_better=False,
        kept=kept.version,
        kept_days=None,  # by patience, version after version, small losses would add up
        history_days=evaluation.history_days,
    )
    return check_noninferiority("anchor", evaluation.candidate, anchor.score, allowed, policy, seed)
