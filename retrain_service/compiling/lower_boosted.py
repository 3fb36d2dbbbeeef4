"""Lower fitted models of XGBoost and LightGBM to trees as treelite holds them. Training process.

Imports neither: a model is known by the package of its class, and brings its own booster.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrain_service.compiling.columns import NotLowered
from retrain_service.compiling.treelite_models import LoweredTrees, imported_by
from shared.forms.stored_form import Classes, Numeric, class_labels
from shared.forms.treelite_library import DEFAULT, RAW

_NUMERICAL = 1
"""Of treelite's kinds of nodes."""


def is_boosted(model: Any) -> bool:
    """Whether it is an estimator of XGBoost or LightGBM."""
    return _is_of("xgboost", model) or _is_of("lightgbm", model)


def _is_of(package: str, model: Any) -> bool:
    """Also a class of one's own that is made from one of theirs."""
    return any(each.__module__.partition(".")[0] == package for each in type(model).__mro__)


def lower_boosted(model: Any) -> LoweredTrees:
    """XGBoost computes in single precision throughout; LightGBM in double.

    Raises:
        NotLowered: it is not made of trees, or sums them in a way that treelite has not.
    """
    is_single = _is_of("xgboost", model)
    imported = _of_xgboost(model) if is_single else _of_lightgbm(model)
    classes = getattr(model, "classes_", None)
    if classes is None:
        header = imported.get_header_accessor()
        is_flat = int(np.ravel(header.get_field("num_target"))[0]) == 1
        return LoweredTrees((imported,), DEFAULT, is_single, Numeric(is_flat), is_rounded=is_single)
    if isinstance(classes, list) or np.ndim(classes) != 1:
        raise NotLowered(f"{type(model).__name__} of several outputs is not lowered")
    labels = class_labels(classes)
    kind, link = (RAW, "binary_sigmoid") if len(labels) == 2 else (RAW, "softmax")
    postprocessor = imported.get_header_accessor().get_field("postprocessor")
    if postprocessor == "multiclass_ova":
        kind, link = DEFAULT, "identity"
    elif postprocessor not in ("sigmoid", "softmax"):
        raise NotLowered(f"{type(model).__name__} with {postprocessor} is not lowered")
    answers = Classes(labels, link)
    return LoweredTrees((imported,), kind, is_single, answers, is_rounded=is_single)


def _of_xgboost(model: Any) -> Any:
    missing = getattr(model, "missing", np.nan)
    if missing is not None and missing == missing:
        raise NotLowered(f"XGBoost that takes {missing!r} for a missing value is not lowered")
    booster = model.get_booster()
    try:
        best = model.best_iteration
    except AttributeError:
        best = None
    if best is not None:  # of a training that stopped early, it asks the best rounds alone
        booster = booster[: best + 1]
    return imported_by("from_xgboost", booster)


def _of_lightgbm(model: Any) -> Any:
    return imported_by("from_lightgbm", model.booster_)


def boosted_thresholds(model: Any, most_trees: int) -> list[tuple[int, float]]:
    """(column, threshold) of splits on numbers."""
    try:
        (imported,) = lower_boosted(model).models
    except NotLowered:
        return []
    found: list[tuple[int, float]] = []
    n_trees = imported.num_tree
    for i in range(0, n_trees, -(-n_trees // most_trees) if n_trees else 1):
        tree = imported.get_tree_accessor(i)
        threshold = np.asarray(tree.get_field("threshold"), dtype=np.float64)
        column = np.asarray(tree.get_field("split_index"))
        kind = np.asarray(tree.get_field("node_type"))
        inner = np.flatnonzero((kind == _NUMERICAL) & np.isfinite(threshold))
        found.extend(zip(column[inner].tolist(), threshold[inner].tolist(), strict=True))
    return found
