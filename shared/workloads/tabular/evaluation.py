"""Score the answers of a tabular model and of its naive baseline.

Runs where models are trained. A regressor's loss is the one that it is fitted by; a classifier's
is the Brier score of the row (Brier, Verification of forecasts expressed in terms of probability,
1950): the squared distance between its probabilities and the truth, 0 to 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.workloads.losses import ABSOLUTE, Loss, LossName
from shared.workloads.tabular.records import read_text
from shared.workloads.tabular.rows import Label, TrainingContext
from shared.workloads.training import RowAnswers, Score, TrainingSet

UNIT = "Brier"
_LEAST_PROBABILITY = 1e-15

_OBJECTIVES = ("loss", "objective", "loss_function", "criterion")
"""Parameters that name what a fit minimises, in scikit-learn, LightGBM, XGBoost and CatBoost; the
criterion last, for boosted trees have both."""
_OF_WORDS: Sequence[tuple[tuple[str, ...], LossName]] = (
    (("quantile",), "quantile"),
    (("poisson", "tweedie"), "poisson"),
    (("gamma",), "gamma"),
    (("absolute", "mae", "l1", "huber", "fair", "mape", "epsilon_insensitive"), "absolute"),
)
_OF_CLASSES: Mapping[str, LossName] = {
    "PoissonRegressor": "poisson",
    "GammaRegressor": "gamma",
    "QuantileRegressor": "quantile",
    "HuberRegressor": "absolute",
    "TheilSenRegressor": "absolute",
    "RANSACRegressor": "absolute",
    "SVR": "absolute",
    "NuSVR": "absolute",
    "LinearSVR": "absolute",
}


def loss_of(estimator: Any) -> Loss:
    """What an estimator minimises, fitted or not: as its class or its parameters say, squares
    where neither does.

    A target that is transformed before it is fitted makes of the mean of the logarithms, say,
    something near the median: its answers are judged by absolute errors.
    """
    if type(estimator).__name__ == "TransformedTargetRegressor":
        return ABSOLUTE
    inner = getattr(estimator, "steps", None)
    if inner:
        return loss_of(inner[-1][1])
    parameters = estimator.get_params(deep=False) if hasattr(estimator, "get_params") else {}
    level = next(
        (
            float(parameters[name])
            for name in ("quantile", "quantile_alpha", "alpha")
            if isinstance(parameters.get(name), float) and 0 < parameters[name] < 1
        ),
        0.5,
    )
    name = _OF_CLASSES.get(type(estimator).__name__)
    if name is None and type(estimator).__name__ == "TweedieRegressor":
        power = parameters.get("power", 0)
        name = "gamma" if power >= 2 else "poisson" if power >= 1 else "squared"
    named = next((parameters[one] for one in _OBJECTIVES if parameters.get(one)), None)
    if name is None and isinstance(named, str):
        word = named.lower()
        name = next((name for words, name in _OF_WORDS if any(one in word for one in words)), None)
    elif name is None and hasattr(parameters.get("estimator"), "fit"):
        return loss_of(parameters["estimator"])  # a search over its parameters, or many of it
    return Loss(name or "squared", level if name == "quantile" else 0.5)


def probabilities_of(
    estimator: Any, matrix: NDArray[np.float64], labels: Sequence[Label]
) -> NDArray[np.float64]:
    """(n_rows, n_labels + 1): of each label, and in the last column of labels that only the
    estimator knows. What it does not know has probability 0."""
    places = {read_text(label): i for i, label in enumerate(labels)}
    found = np.zeros((matrix.shape[0], len(labels) + 1))
    if not hasattr(estimator, "predict_proba"):
        for row, label in enumerate(np.asarray(estimator.predict(matrix)).tolist()):
            found[row, places.get(read_text(label), -1)] = 1.0
        return found
    given = estimator.predict_proba(matrix)
    for column, label in enumerate(np.asarray(estimator.classes_).tolist()):
        found[:, places.get(read_text(label), -1)] += given[:, column]
    return found


def score_classifier(
    probabilities: NDArray[np.float64], predicted: NDArray[np.int64], holdout: TrainingSet
) -> Score:
    """Brier score by row; accuracy, macro F1, log loss and ROC AUC for people.

    probabilities : (n_rows, n_labels + 1) as `probabilities_of` gives them.
    predicted : (n_rows,) index of the label that is answered; n_labels for one only it knows.
    """
    context: TrainingContext = holdout.context
    n_labels = len(context.labels)
    truth = holdout.target.astype(np.int64)
    is_true = np.zeros_like(probabilities)
    is_true[np.arange(truth.size), truth] = 1.0
    loss = np.asarray(((probabilities - is_true) ** 2).sum(axis=1))
    of_truth = np.clip(probabilities[np.arange(truth.size), truth], _LEAST_PROBABILITY, 1.0)
    metrics = {
        "brier": float(loss.mean()),
        "accuracy": float((predicted == truth).mean()),
        "f1": _macro_f1(truth, predicted),
        "log_loss": float(-np.log(of_truth).mean()),
    }
    auc = _auc(truth, probabilities[:, :n_labels])
    if auc is not None:
        metrics["roc_auc"] = auc
    return Score(
        loss,
        holdout.day,
        holdout.slices,
        metrics,
        UNIT,
        rows=RowAnswers(
            actual=holdout.target,
            predicted=np.where(predicted < n_labels, predicted, np.nan),
            unit="label",
            labels=[str(label) for label in context.labels],
            probability=probabilities[np.arange(truth.size), truth],
        ),
        scale=1.0,
    )


def frequencies_before(holdout: TrainingSet) -> NDArray[np.float64]:
    """(n_labels + 1,): how often each label was right in all rows older than the holdout."""
    context: TrainingContext = holdout.context
    before = context.target[context.day < holdout.day.min()].astype(np.int64)
    counts = np.bincount(before, minlength=len(context.labels) + 1).astype(np.float64)
    if not before.size:
        counts[:-1] = 1.0
    return np.asarray(counts / counts.sum())


def usual_before(holdout: TrainingSet, loss: Loss) -> float:
    """The same answer to everything that is best for all rows older than the holdout; 0 where
    there are none."""
    context: TrainingContext = holdout.context
    return loss.best_constant(context.target[context.day < holdout.day.min()])


def _macro_f1(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """The mean over the labels that are true or answered somewhere."""
    found = []
    for label in np.union1d(truth, predicted):
        n_hits = int(((truth == label) & (predicted == label)).sum())
        n_either = int((truth == label).sum()) + int((predicted == label).sum())
        found.append(2.0 * n_hits / n_either)
    return float(np.mean(found))


def _auc(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float | None:
    """The mean over the labels of one against the rest; of two labels, the usual one.

    None where one label alone is true: there is nothing to rank.
    """
    labels = np.unique(truth)
    if labels.size < 2:
        return None
    if probabilities.shape[1] == 2:
        labels = np.array([1])
    return float(np.mean([_rank_auc(truth == label, probabilities[:, label]) for label in labels]))


def _rank_auc(is_positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """The share of pairs that are ranked right, a tie counting half (Mann-Whitney)."""
    values, place = np.unique(score, return_inverse=True)
    n_at = np.bincount(place, minlength=values.size)
    middle_rank = np.cumsum(n_at) - (n_at - 1) / 2.0
    n_positive = int(is_positive.sum())
    n_negative = is_positive.size - n_positive
    ranks = float(middle_rank[place[is_positive]].sum())
    return (ranks - n_positive * (n_positive + 1) / 2.0) / (n_positive * n_negative)
