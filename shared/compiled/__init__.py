"""An estimator in the form that serves: made when a version is staged, opened by the API.

Opening imports neither scikit-learn nor pandas nor joblib; making does, in the training process.
Knows estimators and files; knows no workload, no store and no request.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.compiled.making import compile_estimator
    from shared.compiled.opening import NeedsTheProcess, open_form

__all__ = ["NeedsTheProcess", "compile_estimator", "open_form"]

_WHERE = {"compile_estimator": "making", "open_form": "opening", "NeedsTheProcess": "opening"}


def __getattr__(name: str) -> Any:
    """On demand: who opens does not pay for what makes."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
