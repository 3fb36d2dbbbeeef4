"""Fit a candidate of a tabular model: an estimator by its name, or the mean of some.

Estimators that are particular about column names (XGBoost refuses [, ] and <, LightGBM what JSON
marks up with) are handed a matrix without names; which those are they say themselves.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from shared.errors import SettingsInvalid
from shared.workloads.search_space import parts_of
from shared.workloads.tabular.estimators import (
    candidate_parameters,
    make_mean,
    make_pipeline,
    use_one_thread,
)
from shared.workloads.tabular.model import TabularEstimator
from shared.workloads.tabular.parameters import WHERE, TabularParameters
from shared.workloads.tabular.rows import TrainingContext
from shared.workloads.tabular.sample_requests import try_out
from shared.workloads.training import Progress, TrainingSet

_ABOUT_NAMES = re.compile(r"feature", re.IGNORECASE)
_INNER = ("estimator", "regressor")


def fit_candidate(
    parameters: TabularParameters, name: str, train: TrainingSet, seed: int, progress: Progress
) -> TabularEstimator:
    """Fit a candidate by its name, which may hold options or be the mean of some.

    Raises:
        SettingsInvalid: no estimator has the name, or it cannot be fitted to these rows.
    """
    progress(0.0, "fit")
    context: TrainingContext = train.context
    task = context.task
    given = msgspec.structs.replace(parameters, task=task)
    target: Any = train.target
    if task == "classification":
        codes = train.target.astype(np.int64)
        if np.unique(codes).size < 2:
            only = f"only {context.labels[codes[0]]!r}" if codes.size else "nothing"
            raise SettingsInvalid(
                f"{WHERE}: target: {given.target} holds {only} in all {codes.size:,} rows to"
                " learn from; a classification needs two labels."
            )
        target = np.array(context.labels)[codes]
    parts = [
        make_pipeline(candidate_parameters(given, part), context.columns, seed)
        for part in parts_of(name)
    ]
    pipeline = parts[0] if len(parts) == 1 else make_mean(task, parts)
    frame = TabularEstimator(pipeline, context.contract).frame(train.features)
    try:
        pipeline = fit_any_names(pipeline, lambda each: each.fit(frame, target))
    except MemoryError:
        raise
    except Exception as error:
        raise SettingsInvalid(
            f"{WHERE}: estimator {name} cannot be fitted to these rows:"
            f" {type(error).__name__}: {error}"
        ) from error
    use_one_thread(pipeline)
    try_out(estimator := TabularEstimator(pipeline, context.contract), train, given)
    progress(1.0, "fit")
    return estimator


def fit_any_names(pipeline: Any, fit: Callable[[Any], Any]) -> Any:
    """Fit it; where it does not like the names of the columns, its last step gets none.

    fit : fits what it is given. What chooses columns by name keeps them: only the last step of a
    pipeline goes without.

    Returns:
        What was fitted: the pipeline, or the same with one step more.

    Raises:
        What the first attempt raised, where it was about something else or the second fails too.
    """
    try:
        fit(pipeline)
    except Exception as refused:
        if not _ABOUT_NAMES.search(str(refused)):
            raise
        try:
            nameless = _without_names(pipeline)
            fit(nameless)
        except Exception:  # noqa: BLE001 - names were not what is wrong
            raise refused from None
        return nameless
    return pipeline


def _without_names(model: Any) -> Any:
    """The same model, where its last step is given an array. Searches and wrappers stay around a
    pipeline, so that parameters keep their names."""
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer

    plain = ("without_names", FunctionTransformer(np.asarray))
    model = copy.deepcopy(model)
    holder = model
    while not hasattr(holder, "steps"):
        name = next((name for name in _INNER if hasattr(holder, name)), None)
        if name is None:
            return Pipeline([plain, ("estimator", model)])
        holder = getattr(holder, name)
    holder.steps = [*holder.steps[:-1], plain, holder.steps[-1]]
    return model
