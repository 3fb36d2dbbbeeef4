"""Fit a change by least absolute deviations: a linear one, and boosted trees as arrays.

What is answered is a median, because errors are counted as they are and not squared: a linear
model by iteratively reweighted least squares (Schlossmacher, JASA 1973), and trees by
scikit-learn, imported by who fits; the API reads their arrays by NumPy alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.stored_types import reduced

Floats = NDArray[np.float64]

_RIDGE = 30.0
_ROUNDS = 8
_LEAST = 0.05  # an error below counts as such: the weight of an exact fit would be infinite
_MAX_LINEAR, _MAX_BOOSTED = 60_000, 20_000
_TREES, _DEPTH, _LEAVES, _PER_LEAF = 50, 5, 12, 40


@dataclass(frozen=True, slots=True, eq=False)
class Boosted:
    """Trees of one ensemble. All but base are (n_trees, n_nodes); a leaf leads to itself.

    A row goes to `left` where its column `column` is at most `threshold`.
    """

    base: float
    column: NDArray[np.int32]
    threshold: Floats
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: Floats

    __reduce__ = reduced

    def predict(self, x: Floats) -> Floats:
        """(n_rows,) for x (n_rows, n_columns), all finite."""
        n_trees, width = self.value.shape
        first = np.arange(n_trees) * width
        # Flat arrays and `take` are several times faster than an index for each axis.
        column, threshold = self.column.astype(np.intp).ravel(), self.threshold.ravel()
        child = np.stack([self.right, self.left], axis=2).astype(np.intp) + first[:, None, None]
        child, cells = child.ravel(), np.ascontiguousarray(x).ravel()
        row = (np.arange(len(x)) * x.shape[1])[:, None]
        node = np.broadcast_to(first, (len(x), n_trees))
        for _ in range(_DEPTH):
            is_left = cells.take(column.take(node) + row) <= threshold.take(node)
            node = child.take(2 * node + is_left)
        leaves = self.value.ravel().take(node)
        return np.asarray(self.base + leaves.sum(axis=1), dtype=np.float64)


def _thinned(n: int, most: int) -> NDArray[np.int64]:
    """Evenly, so that every time of the day keeps its share."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def fit_linear(x: Floats, y: Floats, weight: Floats) -> Floats:
    """(n_columns,): coefficients of the least weighted absolute error, with a little ridge."""
    kept = _thinned(len(x), _MAX_LINEAR)
    x, y, weight = x[kept], y[kept], np.asarray(weight[kept] / weight[kept].mean())
    ridge = _RIDGE * np.eye(x.shape[1])
    rows = weight
    coefficients: Floats = np.zeros(x.shape[1])
    for _ in range(_ROUNDS):
        weighted = x * rows[:, None]
        coefficients = np.asarray(np.linalg.solve(x.T @ weighted + ridge, weighted.T @ y))
        rows = np.asarray(weight / np.maximum(np.abs(y - x @ coefficients), _LEAST))
    return np.asarray(coefficients, dtype=np.float64)


def fit_boosted(x: Floats, y: Floats, weight: Floats, seed: int) -> Boosted:
    """Trees for the least weighted absolute error."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    # Rows are drawn by their weights: weights themselves cost a sort of each column and node.
    until = np.cumsum(weight) / weight.sum()
    n = min(len(x), _MAX_BOOSTED)
    kept = np.minimum(np.searchsorted(until, (np.arange(n) + 0.5) / n), len(x) - 1)
    with threadpool_limits(limits=1):  # on so few rows threads mostly wait for each other
        fitted = HistGradientBoostingRegressor(
            loss="absolute_error",
            max_iter=_TREES,
            max_depth=_DEPTH,
            max_leaf_nodes=_LEAVES,
            min_samples_leaf=_PER_LEAF,
            early_stopping=False,
            random_state=seed,
        ).fit(x[kept], y[kept])
    trees = [predictor.nodes for (predictor,) in fitted._predictors]
    width = max(len(nodes) for nodes in trees)
    shape = (len(trees), width)
    column, left, right = (np.zeros(shape, dtype=np.int32) for _ in range(3))
    threshold, value = np.zeros(shape), np.zeros(shape)
    for number, nodes in enumerate(trees):
        here, n = np.arange(len(nodes)), len(nodes)
        is_leaf = nodes["is_leaf"].astype(bool)
        column[number, :n] = np.where(is_leaf, 0, nodes["feature_idx"])
        threshold[number, :n] = np.where(is_leaf, 0.0, nodes["num_threshold"])
        left[number, :n] = np.where(is_leaf, here, nodes["left"])
        right[number, :n] = np.where(is_leaf, here, nodes["right"])
        value[number, :n] = np.where(is_leaf, nodes["value"], 0.0)
    base = float(np.ravel(fitted._baseline_prediction)[0])
    return Boosted(base, column, threshold, left, right, value)
