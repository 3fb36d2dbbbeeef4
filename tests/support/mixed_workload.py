"""`MixedWorkload`: rows of every dtype in, several outputs of every shape out, nothing learnt.

What a protocol does with columns and outputs is seen at once: each output is made of all columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from shared.errors import RequestInvalid
from shared.workloads.contract import Answerer
from shared.workloads.rows import FeatureSpec, RowContract, refuse_not_finite
from tests.support.tiny_workload import TinyWorkload

FEATURES = (
    FeatureSpec("temperature", "float64", "°C", -20.0, 40.0),
    FeatureSpec("hour", "int64", "h", 0, 23),
    FeatureSpec("is_open", "bool", "none"),
    FeatureSpec("colour", "category", "none"),
)
COLOURS = {"red": 0.0, "green": 1.0, "blue": 2.0}


class MixedWorkload(TinyWorkload):
    name: ClassVar[str] = "mixed"

    @property
    def features(self) -> tuple[FeatureSpec, ...]:
        return FEATURES

    def open(self, estimator: Any, state: Mapping[str, bytes]) -> Answerer:
        return MixedAnswerer(float(estimator["number"]))


class MixedAnswerer(Answerer):
    """predictions (n,), probabilities (n, 2), label (n,) of text, is_warm (n,), n_hours (n,)."""

    rows = RowContract(FEATURES, {"colour": COLOURS})
    row_facts: Mapping[str, Any] = {"unit": "litres"}

    def __init__(self, scale: float) -> None:
        self._scale = scale

    @property
    def questions(self) -> Mapping[str, str]:
        return {"predict": "made of all columns"}

    def answer(self, question: str, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        if question != "predict":
            raise RequestInvalid("the question predict", question, "question")
        return self.answer_rows(request.get("instances"))

    def predict_rows(self, matrix: NDArray[np.float64]) -> Mapping[str, NDArray[Any]]:
        """Only the temperature must be there; a missing colour counts as unknown."""
        refuse_not_finite(matrix, [0])
        temperature, hour, is_open, colour = np.nan_to_num(matrix, nan=-1.0).T
        predictions = self._scale * temperature + hour / 7 + 10 * is_open + 100 * colour
        share = 1 / (1 + np.exp(-temperature / 10))
        return {
            "predictions": predictions,
            "probabilities": np.stack([1 - share, share], axis=1),
            "label": np.where(temperature > 15, "warm", "kühl"),
            "is_warm": temperature > 15,
            "n_hours": hour.astype(np.int32),
        }
