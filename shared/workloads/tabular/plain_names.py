"""Hand an estimator that is particular about column names a matrix without names.

XGBoost refuses [, ] and <, LightGBM what JSON marks up with, and names that differ in a space
only. Knows no estimator: what is fitted says that it does not like a name.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import numpy as np

_ABOUT_NAMES = re.compile(r"feature", re.IGNORECASE)
_INNER = ("estimator", "regressor")


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
