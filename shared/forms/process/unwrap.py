"""Unwrap an estimator: remove wrappers, list its steps, limit its threads; by shape, not type.

Imports no scikit-learn at the start: it only looks at what an object has.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any


def unwrap(estimator: Any) -> Any:
    """The pipeline inside what decodes category codes for it; else the estimator itself."""
    while hasattr(estimator, "pipeline") and hasattr(estimator, "contract"):
        estimator = estimator.pipeline
    return estimator


def flat_steps(estimator: Any) -> list[Any]:
    """The steps of nested pipelines and parameter searches, in order; the model is the last."""
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    if hasattr(estimator, "regressor_") and hasattr(estimator, "transformer_"):
        # What transforms the target stays around the model; the steps before it come out.
        inner = flat_steps(estimator.regressor_)
        if len(inner) > 1:
            estimator = copy.copy(estimator)
            estimator.regressor_ = inner[-1]
        return [*inner[:-1], estimator]
    if not hasattr(estimator, "steps"):
        return [estimator]
    steps = [step for _, step in estimator.steps]
    return [*steps[:-1], *flat_steps(steps[-1])]


def rest_of(estimator: Any, n_before: int) -> Any:
    """What comes after so many of the `flat_steps`, as one estimator."""
    steps = flat_steps(unwrap(estimator))[n_before:]
    if len(steps) == 1:
        return steps[0]
    from sklearn.pipeline import Pipeline

    return Pipeline([(f"step{i}", step) for i, step in enumerate(steps)])


def holds_trees(found: Any) -> bool:
    """Whether a decision tree is anywhere in an estimator."""
    if hasattr(found, "tree_") or hasattr(found, "_predictors"):
        return True
    if isinstance(found, dict):
        found = list(found.values())
    if getattr(getattr(found, "dtype", None), "kind", "") == "O":
        found = found.tolist()
    if isinstance(found, (list, tuple)):
        return any(holds_trees(each) for each in found[:50])
    if isinstance(found, type) or not hasattr(found, "get_params"):
        return False
    return any(holds_trees(each) for name, each in vars(found).items() if name.endswith("_"))


def serve_in_one_thread(estimator: Any) -> list[tuple[Any, Any]]:
    """Set n_jobs to 1 in it and in everything it holds: for one row, threads cost two to three
    times what they save.

    Returns:
        (object, its n_jobs before) of each that was changed.
    """
    changed: list[tuple[Any, Any]] = []
    _bind(estimator, set(), changed)
    return changed


@contextlib.contextmanager
def in_one_thread(estimator: Any) -> Iterator[None]:
    """For a while; the estimator is afterwards as it was."""
    from threadpoolctl import threadpool_limits  # looks at all loaded libraries

    changed = serve_in_one_thread(estimator)
    try:
        with threadpool_limits(1):
            yield
    finally:
        for each, n_jobs in changed:
            each.n_jobs = n_jobs


def _bind(found: Any, seen: set[int], changed: list[tuple[Any, Any]]) -> None:
    if id(found) in seen:
        return
    seen.add(id(found))
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, (list, tuple)):
        # Members of an ensemble are alike; its many trees hold nothing that has threads.
        for each in found[:50]:
            _bind(each, seen, changed)
        return
    is_wrapper = hasattr(found, "pipeline") and hasattr(found, "contract")
    if isinstance(found, type) or not (is_wrapper or hasattr(found, "get_params")):
        return
    own = vars(found) if hasattr(found, "__dict__") else {}
    if own.get("n_jobs") not in (None, 1):
        changed.append((found, found.n_jobs))
        found.n_jobs = 1
    for each in list(own.values()):
        _bind(each, seen, changed)
