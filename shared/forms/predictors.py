"""Turn a scorer's scores into predictions, with the methods of a scikit-learn estimator.

A scorer takes the matrix of a request and gives scores (n_rows, n_scores); it refuses rows. The
classes here are immutable; any thread may call them.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.forms.link import INVERSES, PROBABILITIES

Floats = NDArray[np.float64]


class Scorer(Protocol):
    """See the module docstring."""

    def scores(self, matrix: Floats, /) -> Floats:
        """(n_rows, n_columns) -> (n_rows, n_scores)

        Raises:
            RowRefused: a value that the model cannot take.
        """


class Regressor:
    """`inverse`: what undoes the transformation of the target; None: there is none."""

    def __init__(self, scorer: Scorer, *, inverse: str | None, is_flat: bool) -> None:
        self._scores = scorer.scores
        self._inverse = None if inverse is None else INVERSES[inverse]
        self._is_flat = is_flat

    def predict(self, matrix: Floats) -> Floats:
        """(n_rows, n_columns) -> (n_rows,), or (n_rows, n_outputs) where it was fitted so."""
        found = self._scores(matrix)
        if self._inverse is not None:
            found = self._inverse(found)
        return found.reshape(-1) if self._is_flat else found


class Labels:
    """A classifier without probabilities: LinearSVC, RidgeClassifier and the like."""

    def __init__(self, scorer: Scorer, classes: NDArray[Any]) -> None:
        self._scores = scorer.scores
        self.classes_ = classes

    def predict(self, matrix: Floats) -> NDArray[Any]:
        """(n_rows, n_columns) -> (n_rows,) labels; one score says whether it is the second."""
        found = self._scores(matrix)
        if found.shape[1] == 1:
            return np.asarray(self.classes_.take((found[:, 0] > 0).astype(np.intp)))
        return np.asarray(self.classes_.take(found.argmax(axis=1)))


class Classifier(Labels):
    """A classifier with probabilities. `link`: of PROBABILITIES."""

    def __init__(self, scorer: Scorer, classes: NDArray[Any], link: str) -> None:
        super().__init__(scorer, classes)
        self._link = PROBABILITIES[link]

    def predict_proba(self, matrix: Floats) -> Floats:
        """(n_rows, n_columns) -> (n_rows, n_classes), columns as in `classes_`."""
        return self._link(self._scores(matrix))


class AnomalyDetector:
    """An isolation forest: 1 for what is usual, -1 for what is not."""

    def __init__(self, scorer: Scorer, offset: float) -> None:
        self._scorer = scorer
        self._offset = offset

    def decision_function(self, matrix: Floats) -> Floats:
        """(n_rows, n_columns) -> (n_rows,), negative for outliers."""
        found: Floats = -self._scorer.scores(matrix)[:, 0] - self._offset
        return found

    def predict(self, matrix: Floats) -> NDArray[np.int64]:
        return np.where(self.decision_function(matrix) < 0, -1, 1)
