"""Answer rows from an estimator and what the version knows of its columns.

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
from shared.workloads.rows import RowRefused, is_all_finite, refuse_not_finite
from shared.workloads.tabular.columns import Column, contract_of

_STATE_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Knowledge:
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


def save_knowledge(knowledge: Knowledge) -> dict[str, bytes]:
    """File name -> bytes; the same knowledge gives the same bytes."""
    saved = _Saved(
        _STATE_FORMAT,
        knowledge.target,
        knowledge.task,
        knowledge.unit,
        knowledge.is_own_code,
        list(knowledge.columns),
    )
    return {"state.json": msgspec.json.encode(saved)}


def read_knowledge(state: Mapping[str, bytes]) -> Knowledge:
    """The reverse of `save_knowledge`.

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
    return Knowledge(saved.target, saved.task, saved.unit, saved.is_own_code, tuple(saved.columns))


class TabularAnswerer(Answerer):
    """Rows in; numbers, or labels with their probabilities, out."""

    def __init__(self, estimator: Any, knowledge: Knowledge) -> None:
        self._estimator = estimator
        self._knowledge = knowledge
        self.rows = contract_of(knowledge.columns)
        self._required = [
            (j, column.dtype) for j, column in enumerate(knowledge.columns) if column.is_required
        ]
        self._labels: NDArray[Any] | None = None
        self._has_probabilities = False
        if knowledge.task == "classification":
            self._has_probabilities = hasattr(estimator, "predict_proba")
            self._labels = np.array(np.asarray(estimator.classes_).tolist())
            self.row_facts = {"classes": self._labels.tolist()}
        elif knowledge.unit:
            self.row_facts = {"unit": knowledge.unit}

    @property
    def questions(self) -> Mapping[str, str]:
        known = self._knowledge
        what = f"{known.target} in {known.unit}" if known.unit else known.target
        chances = ", and the probability of each class" if self._has_probabilities else ""
        return {"predict": f"{what} for each row{chances}"}

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
            return {"predictions": np.asarray(self._estimator.predict(matrix), dtype=np.float64)}
        if not self._has_probabilities:
            return {"predictions": self._chosen(matrix)}
        probabilities = self._estimator.predict_proba(matrix)
        if self._knowledge.is_own_code:  # its own threshold, say
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
                expected = "a text" if dtype == "category" else "a finite number"
                raise RowRefused(int(is_null.argmax()), column, expected)

    def _chosen(self, matrix: NDArray[np.float64]) -> NDArray[Any]:
        # From objects to the type that the labels have.
        return np.array(np.asarray(self._estimator.predict(matrix)).tolist())
