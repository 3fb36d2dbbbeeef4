"""Lower fitted scikit-learn preprocessing to symbolic columns. Training process only.

Imports no scikit-learn: transformers are known by the name of their class.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from retrain_service.compiling.columns import Columns, NotLowered, Number, Values
from retrain_service.compiling.probe_encoders import probe, trace_categories
from shared.forms.preprocessing_plan import FUNCTIONS, Step


def lower(step: Any, columns: Columns, names: Sequence[str]) -> Columns:
    """What a fitted transformer makes of the columns.

    names : of the columns, where transformers choose by name; they are those of the request.

    Raises:
        NotLowered: it is no transformer that has a plan.
    """
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return columns
    if isinstance(step, str) and step == "drop":
        return []
    kind = type(step).__name__
    if hasattr(step, "steps"):
        for _, each in step.steps:
            columns = lower(each, columns, names)
        return columns
    if hasattr(step, "get_support") and hasattr(step, "transform"):
        return [columns[i] for i in np.flatnonzero(step.get_support())]
    found = _LOWERED.get(kind)
    if found is None:
        raise NotLowered(f"{kind} is not lowered")
    return found(step, columns, names)


def with_known_categories(model: Any, columns: Columns) -> Columns:
    """HistGradientBoosting takes a category that it does not know for a missing value.

    Raises:
        NotLowered: a category reaches it as a text, or was computed.
    """
    preprocessor = getattr(model, "_preprocessor", None)
    is_categorical = getattr(model, "is_categorical_", None)
    if preprocessor is None or is_categorical is None:
        return columns
    found = list(columns)
    encoder = preprocessor.named_transformers_["encoder"]
    for sink, known in zip(np.flatnonzero(is_categorical), encoder.categories_, strict=True):
        column = columns[sink]
        if isinstance(column, Number):
            column = trace_categories(column, known)
        if not column.is_numeric():
            raise NotLowered("categories reach HistGradientBoosting as texts")
        values = tuple(value if value in known else math.nan for value in column.values)
        found[sink] = replace(column, values=values)
    return found


def _column_transformer(step: Any, columns: Columns, names: Sequence[str]) -> Columns:
    if step.sparse_threshold is None:
        raise NotLowered("ColumnTransformer without sparse_threshold")
    found: Columns = []
    for name, transformer, chosen in step.transformers_:
        places = _places(chosen, names, len(columns))
        own = [columns[i] for i in places]
        before = len(found)
        if own:
            found.extend(lower(transformer, own, [names[i] for i in places]))
        expected = step.output_indices_.get(name, slice(before, before))
        if expected.stop - expected.start != len(found) - before:
            raise NotLowered(
                f"ColumnTransformer: {name} gives {expected.stop - expected.start} columns,"
                f" {len(found) - before} were expected"
            )
    return found


def _places(chosen: Any, names: Sequence[str], n_columns: int) -> list[int]:
    if isinstance(chosen, slice):
        return list(range(n_columns))[chosen]
    if isinstance(chosen, (str, int, np.integer)):
        chosen = [chosen]
    found = list(chosen)
    if found and all(isinstance(each, (bool, np.bool_)) for each in found):
        return [i for i, each in enumerate(found) if each]
    if found and isinstance(found[0], str):
        missing = [name for name in found if name not in names]
        if missing:
            raise NotLowered(f"ColumnTransformer asks for columns {missing}")
        return [list(names).index(name) for name in found]
    return [int(each) % n_columns for each in found]


def _feature_union(step: Any, columns: Columns, names: Sequence[str]) -> Columns:
    weights = step.transformer_weights or {}
    if weights:
        raise NotLowered("FeatureUnion with weights is not lowered")
    return [column for _, each in step.transformer_list for column in lower(each, columns, names)]


def _each(columns: Columns, *steps: tuple[str, Any]) -> Columns:
    """The same operations on all columns; steps are (kind, one value for each column)."""
    found: Columns = []
    for i, column in enumerate(columns):
        for kind, values in steps:
            value = float(values[i])
            if isinstance(column, Number):
                column = column.then(kind, value)
            elif column.is_numeric():
                one = Step(kind, np.array([value]))
                became = one(np.array(column.values, dtype=np.float64)[:, None])[:, 0].tolist()
                column = replace(column, values=tuple(became))
            else:
                raise NotLowered(f"{kind} of texts")
        found.append(column)
    return found


def _standard_scaler(step: Any, columns: Columns, _: Sequence[str]) -> Columns:
    if step.with_mean:
        columns = _each(columns, ("subtract", step.mean_))
    return _each(columns, ("divide", step.scale_)) if step.with_std else columns


def _min_max_scaler(step: Any, columns: Columns, _: Sequence[str]) -> Columns:
    columns = _each(columns, ("multiply", step.scale_), ("add", step.min_))
    if step.clip:
        low, high = (np.full(len(columns), bound) for bound in step.feature_range)
        columns = _each(columns, ("at_least", low), ("at_most", high))
    return columns


def _max_abs_scaler(step: Any, columns: Columns, _: Sequence[str]) -> Columns:
    columns = _each(columns, ("divide", step.scale_))
    if getattr(step, "clip", False):
        one = np.ones(len(columns))
        columns = _each(columns, ("at_least", -one), ("at_most", one))
    return columns


def _robust_scaler(step: Any, columns: Columns, _: Sequence[str]) -> Columns:
    if step.with_centering:
        columns = _each(columns, ("subtract", step.center_))
    return _each(columns, ("divide", step.scale_)) if step.with_scaling else columns


def _function_transformer(step: Any, columns: Columns, _: Sequence[str]) -> Columns:
    if step.func is None or step.func is np.asarray:
        return columns
    name = getattr(step.func, "__name__", "")
    if FUNCTIONS.get(name) is step.func and not step.kw_args:
        return _each(columns, (name, np.zeros(len(columns))))
    raise NotLowered("FunctionTransformer with a function of its own is not lowered")


def _simple_imputer(step: Any, columns: Columns, _: Sequence[str]) -> Columns:
    if all(isinstance(column, Values) for column in columns):
        if step.indicator_ is not None:
            raise NotLowered("SimpleImputer with indicators of categories is not lowered")
        return probe(step, columns, [1] * len(columns))
    if not _is_nan(step.missing_values):
        raise NotLowered(f"SimpleImputer of {step.missing_values!r} is not lowered")
    found: Columns = []
    for column, fill in zip(columns, step.statistics_, strict=True):
        if not isinstance(column, Number):
            raise NotLowered("SimpleImputer of numbers and categories together is not lowered")
        if not _is_nan(fill):
            found.append(column.then("fill", fill))
        elif step.keep_empty_features:
            found.append(column.then("fill", 0.0))
    if step.indicator_ is not None:
        found.extend(_missing_indicator(step.indicator_, columns, ()))
    return found


def _missing_indicator(step: Any, columns: Columns, _: Sequence[str]) -> Columns:
    chosen = [columns[i] for i in step.features_]
    if not _is_nan(step.missing_values):
        raise NotLowered("MissingIndicator of other values than NaN is not lowered")
    if any(isinstance(column, Values) for column in chosen):
        raise NotLowered("MissingIndicator of categories is not lowered")
    return _each(chosen, ("is_missing", np.zeros(len(chosen))))


def _is_nan(value: object) -> bool:
    return isinstance(value, (float, np.floating)) and value != value


def _one_hot_encoder(step: Any, columns: Columns, _: Sequence[str]) -> Columns:
    return probe(step, columns, list(step._n_features_outs))


def _one_each(step: Any, columns: Columns, _: Sequence[str]) -> Columns:
    return probe(step, columns, [1] * len(columns))


def _target_encoder(step: Any, columns: Columns, _: Sequence[str]) -> Columns:
    if step.target_type_ == "multiclass":
        raise NotLowered("TargetEncoder for several classes is not lowered")
    return probe(step, columns, [1] * len(columns))


_LOWERED: Mapping[str, Callable[[Any, Columns, Sequence[str]], Columns]] = {
    "ColumnTransformer": _column_transformer,
    "FeatureUnion": _feature_union,
    "StandardScaler": _standard_scaler,
    "MinMaxScaler": _min_max_scaler,
    "MaxAbsScaler": _max_abs_scaler,
    "RobustScaler": _robust_scaler,
    "FunctionTransformer": _function_transformer,
    "SimpleImputer": _simple_imputer,
    "MissingIndicator": _missing_indicator,
    "OneHotEncoder": _one_hot_encoder,
    "OrdinalEncoder": _one_each,
    "TargetEncoder": _target_encoder,
}
