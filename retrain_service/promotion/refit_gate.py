"""The gate of the refit: its answers on the newest rows must be near its twin's. Pure.

The twin was judged on the newest rows, the refit has learnt from them. It may have learnt a change
of the world, but not that everything is another thing: so the two may differ only by a share of
what the twin usually answers, its own usual error included. By as much as the twin usually errs
they may differ anyway, for whoever has learnt from a row may know its answer by heart. And who has
learnt from rows must not be worse on them than who has never seen them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrain_service.promotion.gate_result import GateResult, percent
from shared.settings.per_model import GateSettings
from shared.workloads.contract import resolution
from shared.workloads.training import RowAnswers, Score, TrainingSet, row_answers

GATE = "refit"
NEWEST_DAYS = 7
MORE_LOSS = 0.10
"""A refit's loss on rows that it has learnt from may be this much above its twin's, as chance and
other choices on the way make it."""
LEAST_LOSS = 0.01
"""As a share of the naive baseline's error: where a model is nearly always right, one that errs
ten times more is nearly always right as well."""

Floats = NDArray[np.float64]


def judge_refit(
    holdout: TrainingSet,
    twin: Score,
    refit: Score,
    policy: GateSettings,
    naive_error: float = 0.0,
) -> GateResult:
    """The value is the difference of their answers as a share of what the twin usually answers.

    holdout : what the twin was judged on; `refit` and `twin` were scored on these rows.
    naive_error : of the naive baseline on them.
    """
    n = holdout.n_rows
    bound = policy.max_refit_change
    if not bound:
        return _result(None, None, n, "skipped", "max_refit_change is 0: not compared.")
    if not np.isfinite(refit.loss).all():
        sentence = "the estimator that was fitted on all rows gives answers that are not finite"
        return _result(None, bound, n, "failed", f"{sentence}; not promoted.")
    new, old = refit.error, twin.error
    allowed = max(MORE_LOSS, policy.max_regression)
    if new > old * (1 + allowed) + LEAST_LOSS * naive_error + resolution(refit, twin):
        sentence = (
            f"fitted on all rows its error is {new:.4g} {refit.unit} on rows that it has seen,"
            f" its twin's {old:.4g} without having seen them: something went wrong in the second"
            " fit; not promoted."
        )
        return _result(new / old - 1 if old else None, allowed, n, "failed", sentence)
    mine, others = row_answers(holdout, refit), row_answers(holdout, twin)
    if mine is None or others is None:
        sentence = f"answers are no numbers; its error is {new:.4g}, its twin's {old:.4g}."
        return _result(None, bound, n, "passed", sentence)
    is_newest = holdout.day > holdout.day.max() - np.timedelta64(NEWEST_DAYS, "D")
    by = _change(holdout, mine, others, is_newest)
    facts = (
        f"on the {int(is_newest.sum())} newest rows the estimator fitted on all rows differs from"
        f" its twin by {percent(by)} of what that usually answers, at most {percent(bound)}"
        " allowed (max_refit_change)"
    )
    if by <= bound:
        return _result(by, bound, n, "passed", f"{facts}.")
    end = (
        ": the newest rows have turned it over; not promoted. Look at them; where the world has"
        " changed that much, raise gate.max_refit_change once."
    )
    return _result(by, bound, n, "failed", facts + end)


def _result(
    value: float | None, bound: float | None, n: int, verdict: str, sentence: str
) -> GateResult:
    return GateResult(GATE, value, bound, n, verdict, sentence)  # type: ignore[arg-type]


def _change(
    holdout: TrainingSet, mine: RowAnswers, twin: RowAnswers, is_newest: NDArray[np.bool_]
) -> float:
    """Mean difference on the newest rows, as a share of the twin's usual answer and error."""
    if mine.labels:
        return _turned(holdout, mine, twin, is_newest)
    difference = np.abs(mine.predicted - twin.predicted)
    slices = holdout.slices if mine.has_slice_units else np.zeros(holdout.n_rows)
    shares = np.zeros(holdout.n_rows)
    for name in np.unique(slices):
        these = slices == name
        newest = these & is_newest
        error = (twin.actual - twin.predicted)[these]
        usual = float(np.abs(twin.predicted[these]).mean())
        usual += _usual(np.abs(error), holdout.day[these])
        # Without what it is off throughout: that is no noise, and may be the newest days' fault.
        noise = _usual(np.abs(error - np.median(error)), holdout.day[these])
        by = max(float(difference[newest].mean()) - noise, 0.0) if newest.any() else 0.0
        shares[newest] = by / usual if usual > 0 else by > 0
    return float(shares[is_newest].mean())


def _turned(
    holdout: TrainingSet, mine: RowAnswers, twin: RowAnswers, is_newest: NDArray[np.bool_]
) -> float:
    """Of a classifier: how many more answers are of other labels than before, or how far it is
    from the twin's probabilities of the truth beyond the twin's usual error; the greater one.

    Labels are counted over the rows, less what chance makes of so many: two that disagree about
    single rows are alike, and one that always says the same is not.
    """
    n = int(is_newest.sum())
    own, other = (_shares_of_labels(answers, is_newest) for answers in (mine, twin))
    middle = (own + other) / 2
    chance = float(np.sqrt(middle * (1 - middle) / (np.pi * n)).sum())
    more = float(np.maximum(own - other, 0.0).sum()) - chance
    if mine.probability is None or twin.probability is None:
        return more
    usual_error = _usual(1.0 - twin.probability, holdout.day)
    by = float(np.abs(mine.probability - twin.probability)[is_newest].mean())
    return max(more, (by - usual_error) / (1.0 - usual_error) if usual_error < 1 else 0.0)


def _shares_of_labels(answers: RowAnswers, chosen: NDArray[np.bool_]) -> Floats:
    """(n_labels + 1,): how often each is answered, another label last; of two labels by their
    probabilities, where it has them."""
    n_labels = len(answers.labels)
    if answers.probability is not None and n_labels == 2:
        is_first = answers.actual == 0
        first = np.where(is_first, answers.probability, 1 - answers.probability)[chosen].mean()
        return np.array([first, 1 - first, 0.0])
    labels = np.nan_to_num(answers.predicted[chosen], nan=n_labels).astype(np.int64)
    return np.bincount(labels, minlength=n_labels + 1) / max(len(labels), 1)


def _usual(error: Floats, day: NDArray[np.datetime64]) -> float:
    """The error of the middle day: a bad week among several does not make much usual."""
    _, of_day = np.unique(day, return_inverse=True)
    return float(np.median(np.bincount(of_day, error) / np.bincount(of_day)))
