"""The process form: scikit-learn itself in a child process, where no faster form is equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.forms.input_mask import A_CATEGORY, A_NUMBER, InputMask
from shared.forms.preprocessing_plan import Plan
from shared.forms.process.client import EstimatorProcess, EstimatorRefused
from shared.versions.version_files import VersionFiles
from shared.workloads.rows import UNKNOWN_CATEGORY, RowRefused

Floats = NDArray[np.float64]

_MOST_BLAMED = 100  # odd rows that are asked one by one to find the one that was refused


@dataclass(frozen=True, slots=True, eq=False)
class Processed:
    """As stored. admission, plan : None where the estimator does its own preprocessing.

    n_planned : how many of its steps the plan does. coded : columns of category codes.
    """

    model: str
    n_planned: int
    admission: InputMask | None
    plan: Plan | None
    coded: tuple[int, ...]

    def open_form(self, files: VersionFiles) -> ProcessedEstimator:
        """files : of the version; the model is one of them."""
        part = "whole" if self.plan is None else str(self.n_planned)
        return wrap(EstimatorProcess(files.known(self.model), part), self)


class ProcessedEstimator:
    """Like the estimator: `predict`. Any thread may ask; requests wait for each other."""

    def __init__(self, process: EstimatorProcess, stored: Processed) -> None:
        self.process = process
        self._stored = stored
        if process.classes is not None:
            self.classes_ = process.classes

    def predict(self, matrix: Floats) -> NDArray[Any]:
        """(n_rows, n_columns) -> (n_rows,) or (n_rows, n_outputs)"""
        return self._asked("predict", matrix)

    def close(self) -> None:
        self.process.close()

    def _asked(self, method: str, matrix: Floats) -> NDArray[Any]:
        stored = self._stored
        if stored.admission is not None:
            stored.admission.check(matrix)
        x = matrix if stored.plan is None else stored.plan.apply(matrix)
        try:
            return self.process.ask(method, x)
        except EstimatorRefused as refused:
            self._blame(method, matrix, x, refused)
            raise

    def _blame(self, method: str, matrix: Floats, x: Floats, refused: EstimatorRefused) -> None:
        """Find the row and value that the estimator meant; nothing where none is odd."""
        coded = np.zeros(matrix.shape[1], dtype=np.bool_)
        coded[list(self._stored.coded)] = True
        is_odd = ~np.isfinite(matrix) | (coded & (matrix == UNKNOWN_CATEGORY))
        for row in np.flatnonzero(is_odd.any(axis=1))[:_MOST_BLAMED].tolist():
            try:
                self.process.ask(method, x[row : row + 1])
            except EstimatorRefused:
                column = int(np.argmax(is_odd[row]))
                expected = A_CATEGORY if coded[column] else A_NUMBER
                raise RowRefused(row, column, expected) from refused


class ProcessedClassifier(ProcessedEstimator):
    """With `predict_proba`, so that hasattr tells."""

    def predict_proba(self, matrix: Floats) -> NDArray[Any]:
        """(n_rows, n_columns) -> (n_rows, n_classes)"""
        return self._asked("predict_proba", matrix)


def wrap(process: EstimatorProcess, stored: Processed) -> ProcessedEstimator:
    """What a workload calls."""
    if "predict_proba" in process.hello.methods:
        return ProcessedClassifier(process, stored)
    return ProcessedEstimator(process, stored)
