"""Lower fitted scikit-learn trees to treelite files. Training process only."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrain_service.compiling.columns import NotLowered
from retrain_service.compiling.lower_boosted import boosted_thresholds, is_boosted, lower_boosted
from retrain_service.compiling.treelite_models import LoweredTrees, imported_by
from shared.forms.stored_form import AnomalyAnswers, Classes, Numeric, class_labels
from shared.forms.treelite_library import DEFAULT, RAW

_FORESTS = ("RandomForest", "ExtraTrees")
_SINGLE = {
    "DecisionTreeRegressor": "RandomForestRegressor",
    "ExtraTreeRegressor": "RandomForestRegressor",
    "DecisionTreeClassifier": "RandomForestClassifier",
    "ExtraTreeClassifier": "RandomForestClassifier",
}
_MOST_TREES = 40  # of which thresholds are looked at
_LOG_LINKED = ("poisson", "gamma")


def is_trees(model: Any) -> bool:
    """Whether it is one of those that treelite reads."""
    kind = type(model).__name__
    return is_boosted(model) or (
        type(model).__module__.startswith("sklearn.")
        and (
            kind.startswith((*_FORESTS, "GradientBoosting", "HistGradientBoosting"))
            or kind in _SINGLE
            or kind == "IsolationForest"
        )
    )


def lower_trees(model: Any) -> LoweredTrees:
    """Raises NotLowered: trees of a kind that has no form."""
    if is_boosted(model):
        return lower_boosted(model)
    kind = type(model).__name__
    is_hist = kind.startswith("HistGradientBoosting")
    imported = imported_by("import_model", _as_forest(model))
    if kind == "IsolationForest":
        answers: Numeric | Classes | AnomalyAnswers = AnomalyAnswers(float(model.offset_))
        return LoweredTrees((imported,), DEFAULT, in_single_precision=True, answers=answers)
    if hasattr(model, "classes_"):
        if isinstance(model.classes_, list):
            raise NotLowered(f"{kind} of several outputs is not lowered")
        labels = class_labels(model.classes_)
        if "Boosting" not in kind:
            link = "identity"
        elif getattr(model, "loss", "log_loss") != "log_loss":
            raise NotLowered(f"{kind} with the loss {model.loss} is not lowered")
        else:
            link = "binary_sigmoid" if len(labels) == 2 else "softmax"
        answers = Classes(labels, link)
    else:
        inverse = "exp" if is_hist and model.loss in _LOG_LINKED else None
        answers = Numeric(is_flat=getattr(model, "n_outputs_", 1) == 1, inverse=inverse)
    return LoweredTrees((imported,), RAW, in_single_precision=not is_hist, answers=answers)


def _as_forest(model: Any) -> Any:
    """A single tree as a forest of one, because treelite reads forests."""
    name = _SINGLE.get(type(model).__name__)
    if name is None:
        return model
    import sklearn.ensemble

    forest = getattr(sklearn.ensemble, name)(n_estimators=1)
    forest.estimators_ = [model]
    for attribute in ("n_features_in_", "n_outputs_", "n_classes_", "classes_"):
        if hasattr(model, attribute):
            value = getattr(model, attribute)
            setattr(forest, attribute, int(value) if np.ndim(value) == 0 else value)
    return forest


def thresholds(model: Any) -> list[tuple[int, float]]:
    """(column, threshold) of splits on numbers, columns as the model gets them."""
    if is_boosted(model):
        return boosted_thresholds(model, _MOST_TREES)
    predictors = getattr(model, "_predictors", None)
    if predictors is not None:  # HistGradientBoosting
        is_categorical = getattr(model, "is_categorical_", None)
        order = _hist_columns(model, is_categorical)
        return [
            (order[int(node["feature_idx"])], float(node["num_threshold"]))
            for predictor in (each for row in predictors for each in row)
            for node in predictor.nodes
            if not node["is_leaf"]
            and not node["is_categorical"]
            and np.isfinite(node["num_threshold"])
        ]
    found: list[tuple[int, float]] = []
    chosen = getattr(model, "estimators_features_", None)
    members = _flat(getattr(model, "estimators_", [model]))
    for i in range(0, len(members), -(-len(members) // _MOST_TREES)):
        member = members[i]
        tree = getattr(member, "tree_", None)
        if tree is None:
            continue
        # An infinite one only parts what is missing from what is not.
        inner = np.flatnonzero((tree.children_left >= 0) & np.isfinite(tree.threshold))
        columns = tree.feature[inner] if chosen is None else chosen[i][tree.feature[inner]]
        found.extend(zip(columns.tolist(), tree.threshold[inner].tolist(), strict=True))
    return found


def _flat(members: Any) -> list[Any]:
    """Boosted classifiers have a tree for each class in each row."""
    rows = members.tolist() if isinstance(members, np.ndarray) else list(members)
    return [each for row in rows for each in (row if isinstance(row, list) else [row])]


def _hist_columns(model: Any, is_categorical: Any) -> list[int]:
    """Inside, categories come first."""
    n_columns = int(model.n_features_in_)
    if is_categorical is None or getattr(model, "_preprocessor", None) is None:
        return list(range(n_columns))
    places = np.arange(n_columns)
    return [*places[is_categorical].tolist(), *places[~is_categorical].tolist()]
