"""Lower the last step of a scikit-learn pipeline to weights or trees. Training process only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrain_service.compiling.columns import NotLowered
from retrain_service.compiling.lower_linear import Weights, lower_linear, stack
from retrain_service.compiling.lower_trees import is_trees, lower_trees
from retrain_service.compiling.treelite_models import LoweredTrees
from shared.forms.link import INVERSES
from shared.forms.stored_form import AnomalyAnswers, Classes, Numeric
from shared.versions.staged_files import StagedFiles

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Model:
    """weights : of a linear model, (n_columns, n_scores) and (n_scores,); else None and `trees`."""

    answers: Numeric | Classes | AnomalyAnswers
    weights: tuple[Floats, Floats] | None = None
    trees: tuple[LoweredTrees, ...] = ()

    @property
    def kind(self) -> str:
        return self.trees[0].kind

    @property
    def in_single_precision(self) -> bool:
        return self.trees[0].in_single_precision

    @property
    def is_rounded(self) -> bool:
        return self.trees[0].is_rounded

    def write(self, staged: StagedFiles) -> tuple[str, ...]:
        """The files of the trees; returns their names."""
        models = tuple(model for each in self.trees for model in each.models)
        return replace(self.trees[0], models=models).write(staged)


def lower_model(model: Any) -> Model:
    """Raises NotLowered: there is neither a linear nor a tree form of it."""
    kind = type(model).__name__
    if kind == "TransformedTargetRegressor":
        return _with_target_transformed(model)
    if kind == "MultiOutputRegressor":
        return _stacked([lower_model(each) for each in model.estimators_])
    found = lower_linear(model)
    if found is not None:
        weights, intercept, answers = found
        return Model(answers, (weights, intercept))
    if is_trees(model):
        trees = lower_trees(model)
        return Model(trees.answers, trees=(trees,))
    raise NotLowered(f"{kind} is neither linear nor made of trees")


def _stacked(found: list[Model]) -> Model:
    linear: list[Weights] = [
        (*each.weights, each.answers)
        for each in found
        if each.weights is not None and isinstance(each.answers, Numeric)
    ]
    if len(linear) == len(found):
        weights, intercept, answers = stack(linear)
        return Model(answers, (weights, intercept))
    kinds = {(each.kind, each.in_single_precision, _inverse(each)) for each in found if each.trees}
    if len(kinds) != 1 or any(not each.trees for each in found):
        raise NotLowered("MultiOutputRegressor of different models is not lowered")
    answers = Numeric(is_flat=False, inverse=_inverse(found[0]))
    return Model(answers, trees=tuple(tree for each in found for tree in each.trees))


def _inverse(model: Model) -> str | None:
    return model.answers.inverse if isinstance(model.answers, Numeric) else None


def _with_target_transformed(model: Any) -> Model:
    inner = lower_model(model.regressor_)
    transformer = model.transformer_
    if not isinstance(inner.answers, Numeric) or inner.answers.inverse is not None:
        raise NotLowered("TransformedTargetRegressor of such a regressor is not lowered")
    if type(transformer).__name__ != "FunctionTransformer":
        raise NotLowered(
            f"TransformedTargetRegressor with {type(transformer).__name__} is not lowered"
        )
    if transformer.inverse_func is None:
        return inner
    name = getattr(transformer.inverse_func, "__name__", "")
    if INVERSES.get(name) is not transformer.inverse_func:
        raise NotLowered("TransformedTargetRegressor with a function of its own is not lowered")
    return replace(inner, answers=replace(inner.answers, inverse=name))
