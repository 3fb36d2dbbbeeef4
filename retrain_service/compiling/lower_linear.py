"""Lower fitted linear scikit-learn models to weights. Training process only; no sklearn import.

Known by the name of their class: an attribute `coef_` alone does not say what is done with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrain_service.compiling.columns import NotLowered
from shared.forms.stored_form import Classes, Numeric, class_labels

Floats = NDArray[np.float64]

_REGRESSORS = frozenset(
    {
        "ARDRegression", "BayesianRidge", "ElasticNet", "ElasticNetCV", "HuberRegressor", "Lars",
        "LarsCV", "Lasso", "LassoCV", "LassoLars", "LassoLarsCV", "LassoLarsIC",
        "LinearRegression", "LinearSVR", "MultiTaskElasticNet", "MultiTaskElasticNetCV",
        "MultiTaskLasso", "MultiTaskLassoCV", "OrthogonalMatchingPursuit",
        "OrthogonalMatchingPursuitCV", "PassiveAggressiveRegressor", "QuantileRegressor", "Ridge",
        "RidgeCV", "SGDRegressor", "TheilSenRegressor",
    }
)  # fmt: skip
_GENERALIZED = frozenset({"PoissonRegressor", "GammaRegressor", "TweedieRegressor"})
_LABELS = frozenset(
    {"LinearSVC", "PassiveAggressiveClassifier", "Perceptron", "RidgeClassifier",
     "RidgeClassifierCV", "SGDClassifier"}
)  # fmt: skip
_LOGISTIC = frozenset({"LogisticRegression", "LogisticRegressionCV"})

Weights = tuple[Floats, Floats, Numeric | Classes]
"""(n_columns, n_scores), (n_scores,), and how scores become answers."""


def lower_linear(model: Any) -> Weights | None:
    """None where it is no linear model.

    Raises:
        NotLowered: it is one, of a kind that has no form.
    """
    kind = type(model).__name__
    if not type(model).__module__.startswith("sklearn."):
        return None
    if kind == "DummyRegressor":
        constant = np.asarray(model.constant_, dtype=np.float64).reshape(-1)
        weights = np.zeros((model.n_features_in_, len(constant)))
        return weights, constant, Numeric(is_flat=len(constant) == 1)
    if kind in _REGRESSORS:
        return *_arrays(model), Numeric(is_flat=np.ndim(model.coef_) == 1)
    if kind in _GENERALIZED:
        link = type(model._base_loss.link).__name__
        inverse = {"LogLink": "exp", "IdentityLink": None}
        if link not in inverse:
            raise NotLowered(f"{kind} with {link} is not lowered")
        return *_arrays(model), Numeric(is_flat=True, inverse=inverse[link])
    if kind in _LOGISTIC | _LABELS:
        return *_arrays(model), _classes(model, kind)
    return None


def _arrays(model: Any) -> tuple[Floats, Floats]:
    if hasattr(model.coef_, "toarray"):
        raise NotLowered("sparse coefficients are not lowered")
    weights = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64)).T.copy()
    intercept = np.asarray(model.intercept_, dtype=np.float64).reshape(-1)
    return weights, np.broadcast_to(intercept, (weights.shape[1],)).copy()


def _classes(model: Any, kind: str) -> Classes:
    if np.ndim(model.classes_) != 1 or getattr(model, "multilabel_", False):
        raise NotLowered(f"{kind} of several outputs is not lowered")
    labels = class_labels(model.classes_)
    if kind == "SGDClassifier" and model.loss == "log_loss":
        return Classes(labels, "binary_sigmoid" if len(labels) == 2 else "one_vs_rest")
    if kind == "SGDClassifier" and model.loss == "modified_huber":
        raise NotLowered("SGDClassifier with modified_huber is not lowered")
    if kind not in _LOGISTIC:
        return Classes(labels, None)
    if len(labels) == 2:
        return Classes(labels, "binary_sigmoid")
    is_rest = getattr(model, "multi_class", "") == "ovr" or model.solver == "liblinear"
    return Classes(labels, "one_vs_rest" if is_rest else "softmax")


def stack(found: list[Weights]) -> Weights:
    """Several models of one score each -> one model of several scores.

    Raises:
        NotLowered: they are no regressions, or differ in what they do to their scores.
    """
    weights = np.concatenate([each[0] for each in found], axis=1)
    intercept = np.concatenate([each[1] for each in found])
    answers = {(type(each[2]), getattr(each[2], "inverse", None)) for each in found}
    if len(answers) != 1 or not isinstance(found[0][2], Numeric):
        raise NotLowered("several outputs of different kinds are not lowered")
    return weights, intercept, Numeric(is_flat=False, inverse=found[0][2].inverse)
