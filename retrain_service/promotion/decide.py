"""Scores + policy → Promote, Reject or InsufficientData. Pure; every gate is written down.

The seven gates, each in its own words: `data_gate` before the fit; here sanity, champion, slices,
anchor and contract; `trial_gate` after the version was staged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from retrain_service.evaluation.scores import Evaluation, Reference
from retrain_service.promotion.baseline_gate import judge_baseline
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
from retrain_service.promotion.noninferiority import Margin, check_noninferiority, is_superior
from retrain_service.promotion.slice_gate import judge_slices
from retrain_service.promotion.trial_gate import judge_trial
from shared.loading.trial_load import TrialResult
from shared.settings.per_model import GateSettings
from shared.workloads.contract import resolution

__all__ = [
    "GateResult",
    "InsufficientData",
    "Promote",
    "Reject",
    "Verdict",
    "anchor_after",
    "check_data",
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

    before : gates that were passed already; they stay in the verdict.
    seed : of the resampling; same scores and seed, same verdict.
    """
    return conclude(_gates(evaluation, policy, seed), before)


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
    yield _finite(evaluation)
    yield _constant(evaluation)
    yield judge_baseline(evaluation.candidate, evaluation.baseline, policy)
    yield _champion(evaluation, policy, seed)
    yield _slices(evaluation, policy)
    yield _anchor(evaluation, policy, seed)
    yield judge_contract(evaluation.offered, evaluation.served, n, policy)


def _finite(evaluation: Evaluation) -> GateResult:
    score, n = evaluation.candidate, evaluation.n_rows
    answers = score.prediction if score.prediction is not None else score.loss
    n_bad = int((~np.isfinite(answers) | ~np.isfinite(score.loss)).sum())
    n_negative = int((score.loss < 0).sum())
    if n_negative and not n_bad:
        sentence = f"{n_negative} of {n} losses are below zero: a defect of the workload."
        return GateResult("finite", float(n_negative), 0.0, n, "failed", sentence)
    sentence = (
        f"{n_bad} of {n} answers of the candidate are not finite numbers; not promoted."
        if n_bad
        else "every answer is a finite number."
    )
    return GateResult("finite", float(n_bad), 0.0, n, "failed" if n_bad else "passed", sentence)


def _constant(evaluation: Evaluation) -> GateResult:
    """One answer for all is a broken model, except where nothing varies or the baseline does so
    too: then it is what this kind of model does."""
    n = evaluation.n_rows
    prediction, usual = evaluation.candidate.prediction, evaluation.baseline.prediction
    if prediction is None:
        sentence = "answers of this workload are not numbers."
        return GateResult("constant", None, None, n, "skipped", sentence)
    least = resolution(evaluation.candidate, evaluation.baseline)
    spread = float(np.ptp(prediction))
    spread = spread if spread > least else 0.0
    is_meant = n < 2 or not evaluation.target_varies or usual is None or np.ptp(usual) <= least
    if spread > 0 or is_meant:
        sentence = (
            f"answers spread over {spread:.4g}."
            if spread > 0
            else "the same answer to every row, as can be expected here."
        )
        return GateResult("constant", spread, 0.0, n, "passed", sentence)
    sentence = (
        f"the candidate answers {prediction[0]:.4g} to each of {n} different rows, while the"
        " naive baseline tells them apart; not promoted."
    )
    return GateResult("constant", spread, 0.0, n, "failed", sentence)


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
        must_be_better=policy.mode == "superior",
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
