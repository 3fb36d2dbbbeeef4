"""Answer rows from an estimator and the columns in the version's serving state.

The serving half of the workload. No pandas, no scikit-learn, no clock, no disk; immutable once
made, so any thread may ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import LoadFailed, NotFound, RequestInvalid
from shared.workloads.contract import Answerer
from shared.workloads.error_bounds import ErrorBounds
from shared.workloads.rows import RowRefused, is_all_finite, refuse_not_finite
from shared.workloads.tabular.columns import Column, contract_of

_STATE_FORMAT = 1


@dataclass(frozen=True, slots=True)
class ServingState:
    """What the answers need beyond the estimator.

    unit : of a regression's target; "" where nobody said. is_own_code : the estimator is one of
        the user's, whose `predict` alone says which label it answers.
    """

    target: str
    task: str
    unit: str
    is_own_code: bool
    columns: tuple[Column, ...]


class _Saved(msgspec.Struct):
    """state.json."""

    format: int
    target: str
    task: str
    unit: str
    is_own_code: bool
    columns: list[Column]


def write_serving_state(serving_state: ServingState) -> dict[str, bytes]:
    """File name -> bytes; the same state gives the same bytes."""
    saved = _Saved(
        _STATE_FORMAT,
        serving_state.target,
        serving_state.task,
        serving_state.unit,
        serving_state.is_own_code,
        list(serving_state.columns),
    )
    return {"state.json": msgspec.json.encode(saved)}


def read_serving_state(state: Mapping[str, bytes]) -> ServingState:
    """The reverse of `write_serving_state`.

    Raises:
        LoadFailed: the file is missing, not readable, or of another format.
    """
    if "state.json" not in state:
        raise LoadFailed(f"state of tabular: missing state.json, found {sorted(state)}.")
    try:
        saved = msgspec.json.decode(state["state.json"], type=_Saved)
    except msgspec.DecodeError as error:
        raise LoadFailed(f"state of tabular cannot be read: {error}.") from error
    if saved.format != _STATE_FORMAT:
        raise LoadFailed(
            f"state of tabular: expected format {_STATE_FORMAT}, found {saved.format}."
        )
    return ServingState(
        saved.target, saved.task, saved.unit, saved.is_own_code, tuple(saved.columns)
    )


class TabularAnswerer(Answerer):
    """Rows in; numbers with bounds, or labels with their probabilities, out.

    bounds : of a regression; None of a version of a release that learnt none.
    """

    def __init__(
        self, estimator: Any, serving_state: ServingState, bounds: ErrorBounds | None = None
    ) -> None:
        self._estimator = estimator
        self._bounds = bounds
        self._serving_state = serving_state
        self.rows = contract_of(serving_state.columns)
        self._required = [
            (j, column.dtype)
            for j, column in enumerate(serving_state.columns)
            if column.is_required
        ]
        self._labels: NDArray[Any] | None = None
        self._has_probabilities = False
        if serving_state.task == "classification":
            self._has_probabilities = hasattr(estimator, "predict_proba")
            self._labels = np.array(np.asarray(estimator.classes_).tolist())
            self.row_facts = {"classes": self._labels.tolist()}
        else:
            self.row_facts = {"unit": serving_state.unit} if serving_state.unit else {}
            if bounds is not None:
                self.row_facts = {**self.row_facts, "interval": bounds.interval}

    @property
    def questions(self) -> Mapping[str, str]:
        known = self._serving_state
        what = f"{known.target} in {known.unit}" if known.unit else known.target
        more = ", and the probability of each class" if self._has_probabilities else ""
        if self._bounds is not None:
            more = f", and between which bounds it lies in {self._bounds.interval:.0%} of the cases"
        return {"predict": f"{what} for each row{more}"}

    def answer(self, question: str, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        del now
        if question != "predict":
            raise NotFound(
                f"question: expected one of {sorted(self.questions)}, found {question!r}."
            )
        if list(request) != ["instances"]:
            raise RequestInvalid("one field, instances: a list of rows", dict(request), "request")
        return self.answer_rows(request["instances"])

    def predict_rows(self, matrix: NDArray[np.float64]) -> Mapping[str, NDArray[Any]]:
        if not is_all_finite(matrix):
            self._refuse(matrix)
        if self._labels is None:
            numbers = np.asarray(self._estimator.predict(matrix), dtype=np.float64)
            if self._bounds is None:
                return {"predictions": numbers}
            low, high = self._bounds.around(numbers)
            return {"predictions": numbers, "low": low, "high": high}
        if not self._has_probabilities:
            return {"predictions": self._chosen(matrix)}
        probabilities = self._estimator.predict_proba(matrix)
        if self._serving_state.is_own_code:  # its own threshold, say
            predictions = self._chosen(matrix)
        else:
            predictions = self._labels[probabilities.argmax(axis=1)]
        return {"predictions": predictions, "probabilities": probabilities}

    def _refuse(self, matrix: NDArray[np.float64]) -> None:
        """Infinity anywhere, and null where training never saw one."""
        refuse_not_finite(matrix, [])
        for column, dtype in self._required:
            is_null = np.isnan(matrix[:, column])
            if is_null.any():
                expected = "a text" if dtype in ("category", "text") else "a finite number"
                raise RowRefused(int(is_null.argmax()), column, expected)

    def _chosen(self, matrix: NDArray[np.float64]) -> NDArray[Any]:
        # From objects to the type that the labels have.
        return np.array(np.asarray(self._estimator.predict(matrix)).tolist())
