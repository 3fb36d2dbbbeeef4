"""Fitted scikit-learn preprocessing -> a plan. Training process only.

Each step is applied to columns that are still symbols: a number with the operations so far, or
all values that a category can have with what became of them. What encoders do to categories is
observed by asking the encoder itself, so its rules for unknown and missing values are its own.
Imports no scikit-learn: transformers are known by the name of their class.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.compiled.plan import FUNCTIONS, Numbers, Plan, Step, Table
from shared.workloads.base import RowContract

Floats = NDArray[np.float64]

UNKNOWN_TEXT = "\ufffdunknown"
"""Stands for a category that was never seen while an encoder is observed."""


class NotLowered(Exception):
    """A step has no plan; the sentence says which and why."""


@dataclass(frozen=True, slots=True)
class Number:
    """A column of numbers, and what is done to it."""

    source: int
    steps: tuple[tuple[str, float], ...] = ()

    def then(self, kind: str, value: float = 0.0) -> Number:
        return replace(self, steps=(*self.steps, (kind, float(value))))


@dataclass(frozen=True, slots=True)
class Values:
    """A column with so few values that each is followed: keys, then unknown, then missing.

    keys : None for category codes. values : what each has become so far; floats or texts.
    """

    source: int
    keys: tuple[float, ...] | None
    values: tuple[Any, ...]

    def is_numeric(self) -> bool:
        return all(isinstance(value, float) for value in self.values)


Column = Number | Values
Columns = list[Column]


def input_columns(contract: RowContract | None, n_columns: int, *, is_decoded: bool) -> Columns:
    """is_decoded : the estimator gets texts where the contract has codes."""
    if contract is None or not is_decoded:
        return [Number(source) for source in range(n_columns)]
    found: Columns = []
    for source, spec in enumerate(contract.features):
        known = contract.codes.get(spec.name)
        if known is None:
            found.append(Number(source))
        else:
            texts = sorted(known, key=lambda text, known=known: known[text])  # type: ignore[misc]
            found.append(Values(source, None, (*texts, UNKNOWN_TEXT, math.nan)))
    return found


def as_plan(columns: Columns, n_inputs: int) -> Plan:
    """Columns that are numbers by now -> a plan.

    Raises:
        NotLowered: a category reached the estimator as a text.
    """
    groups: dict[tuple[str, ...], list[tuple[int, Number]]] = {}
    sources: dict[tuple[int, tuple[float, ...] | None], list[tuple[int, Values]]] = {}
    for output, column in enumerate(columns):
        if isinstance(column, Number):
            kinds = tuple(kind for kind, _ in column.steps)
            groups.setdefault(kinds, []).append((output, column))
        elif column.is_numeric():
            sources.setdefault((column.source, column.keys), []).append((output, column))
        else:
            raise NotLowered(f"column {column.source} reaches the estimator as texts")
    numbers = tuple(
        Numbers(
            np.array([column.source for _, column in members], dtype=np.intp),
            np.array([output for output, _ in members], dtype=np.intp),
            tuple(
                Step(kind, np.array([column.steps[i][1] for _, column in members]))
                for i, kind in enumerate(kinds)
            ),
        )
        for kinds, members in groups.items()
    )
    tables = tuple(
        Table(
            source,
            np.array([output for output, _ in members], dtype=np.intp),
            None if keys is None else np.array(keys),
            np.array([column.values for _, column in members], dtype=np.float64).T.copy(),
        )
        for (source, keys), members in sources.items()
    )
    is_identity = (
        not tables
        and len(columns) == n_inputs
        and all(column == Number(i) for i, column in enumerate(columns))
    )
    return Plan(n_inputs, len(columns), numbers, tables, is_identity)


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
    """HistGradientBoosting takes a category that it does not know for a missing value."""
    preprocessor = getattr(model, "_preprocessor", None)
    is_categorical = getattr(model, "is_categorical_", None)
    if preprocessor is None or is_categorical is None:
        return columns
    found = list(columns)
    encoder = preprocessor.named_transformers_["encoder"]
    for place, known in zip(np.flatnonzero(is_categorical), encoder.categories_, strict=True):
        column = columns[place]
        if isinstance(column, Number):
            column = _followed(column, known)
        if not column.is_numeric():
            raise NotLowered("categories reach HistGradientBoosting as texts")
        values = tuple(value if value in known else math.nan for value in column.values)
        found[place] = replace(column, values=values)
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
    if step.func is None:
        return columns
    name = getattr(step.func, "__name__", "")
    if FUNCTIONS.get(name) is step.func and not step.kw_args:
        return _each(columns, (name, np.zeros(len(columns))))
    raise NotLowered("FunctionTransformer with a function of its own is not lowered")


def _simple_imputer(step: Any, columns: Columns, _: Sequence[str]) -> Columns:
    if all(isinstance(column, Values) for column in columns):
        if step.indicator_ is not None:
            raise NotLowered("SimpleImputer with indicators of categories is not lowered")
        return _observed(step, columns, [1] * len(columns))
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
    return _observed(step, columns, list(step._n_features_outs))


def _one_each(step: Any, columns: Columns, _: Sequence[str]) -> Columns:
    return _observed(step, columns, [1] * len(columns))


def _target_encoder(step: Any, columns: Columns, _: Sequence[str]) -> Columns:
    if step.target_type_ == "multiclass":
        raise NotLowered("TargetEncoder for several classes is not lowered")
    return _observed(step, columns, [1] * len(columns))


def _observed(step: Any, columns: Columns, n_outputs: Sequence[int]) -> Columns:
    """Ask the encoder what becomes of each value; it treats columns one by one."""
    categories = getattr(step, "categories_", [()] * len(columns))
    followed = [_followed(column, known) for column, known in zip(columns, categories, strict=True)]
    found: Columns = []
    first = 0
    for place, (column, n_own) in enumerate(zip(followed, n_outputs, strict=True)):
        is_numeric = all(each.is_numeric() for each in followed)
        rows = np.empty(
            (len(column.values), len(followed)), dtype=np.float64 if is_numeric else object
        )
        for j, other in enumerate(followed):
            rows[:, j] = other.values[0]
        rows[:, place] = column.values
        became = _transformed(step, rows)
        for output in range(first, first + n_own):
            values = tuple(_value(row[output]) for row in became)
            found.append(replace(column, values=values))
        first += n_own
    return found


def _followed(column: Column, categories: Any) -> Values:
    """A number that an encoder takes has as many values as the encoder knows, and one more."""
    if isinstance(column, Values):
        return column
    known = tuple(float(each) for each in categories if each == each)
    if any(kind != "fill" for kind, _ in column.steps) or not known:
        raise NotLowered("an encoder of numbers that were computed is not lowered")
    missing = column.steps[0][1] if column.steps else float("nan")
    return Values(column.source, known, (*known, max(known) + 1.5, missing))


def _transformed(step: Any, rows: NDArray[Any]) -> list[Any]:
    """(n_rows,) of rows; for those that the step refuses, zeros that nobody will ever get."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return list(_dense(step.transform(rows)))
        except Exception:  # noqa: BLE001 - see the docstring; admission is observed elsewhere
            good: list[Any] = []
            for row in rows:
                try:
                    good.append(_dense(step.transform(row[None]))[0])
                except Exception:  # noqa: BLE001
                    good.append(None)
    width = next((len(row) for row in good if row is not None), None)
    if width is None:
        raise NotLowered(f"{type(step).__name__} takes none of the values")
    return [np.zeros(width) if row is None else row for row in good]


def _dense(found: Any) -> NDArray[Any]:
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found)


def _value(found: Any) -> Any:
    is_number = isinstance(found, (float, int, np.number)) and not isinstance(found, bool)
    return float(found) if is_number else found


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
