"""The sanity gates: refuse answers that are no numbers, or one answer to all rows; say when a
model is good only where it has seen the category. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from retrain_service.evaluation.scores import Evaluation
from retrain_service.promotion.gate_result import GateResult
from shared.workloads.contract import resolution
from shared.workloads.training import Score

_FEWEST_ROWS = 10
_SURELY, _TIMES = 3.0, 1.5


def judge_finite(evaluation: Evaluation) -> GateResult:
    score, n = evaluation.candidate, evaluation.n_rows
    n_bad = int((~np.isfinite(score.loss)).sum())
    if score.prediction is not None:  # which may be of other rows than the losses are
        n_bad = max(n_bad, int((~np.isfinite(score.prediction)).sum()))
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


def judge_constant(evaluation: Evaluation) -> GateResult:
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


def judge_unknown(candidate: Score) -> Iterator[GateResult]:
    """The value is how many times the error of rows with known categories that of the others is;
    nothing where there are too few of either to tell. It refuses nothing: what the model is worth
    with unknown ones, as clients send them, is judged by the other gates."""
    is_unknown = candidate.is_unknown
    if is_unknown is None or is_unknown.shape != candidate.loss.shape:
        return
    known, unknown = candidate.loss[~is_unknown], candidate.loss[is_unknown]
    if min(known.size, unknown.size) < _FEWEST_ROWS:
        return
    error_known, error_unknown = (
        float(part.mean()) ** (1 / candidate.order) for part in (known, unknown)
    )
    times = error_unknown / error_known if error_known > 0 else np.inf
    spread = float(np.sqrt(known.var() / known.size + unknown.var() / unknown.size))
    is_sure = float(unknown.mean() - known.mean()) > _SURELY * spread
    said = (
        f"{unknown.size} of {is_unknown.size} rows hold a category that no older row holds; their"
        f" error is {error_unknown:.4g} {candidate.unit}, that of the others {error_known:.4g}"
    )
    if is_sure and times > _TIMES:
        said += (
            ": suspicious, for the model knows single categories and not what makes them alike."
            " Take a column of ids or names out of the features, or give it the type text."
        )
    else:
        said += "."
    value = times if np.isfinite(times) else None
    yield GateResult("unknown", value, None, int(unknown.size), "passed", said)
