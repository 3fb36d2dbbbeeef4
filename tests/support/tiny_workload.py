"""`TinyWorkload`: a model that answers the number of its own version, so that a mix is seen.

Nothing is learnt. The estimator is a dictionary; what it says makes the model slow, large or
broken at one stage on purpose, because that is what a swap must survive.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import NotFound, RequestInvalid
from shared.records import Table
from shared.workloads.contract import Answerer, Workload
from shared.workloads.rows import FeatureSpec, RowContract
from shared.workloads.training import GoldenRequest, Progress, Score, StreamSpec, TrainingSet

FEATURES = (FeatureSpec("x", "float64", "none"),)
GOLDEN_NOW = datetime(2026, 1, 1, tzinfo=UTC)


class TinyParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    pass


class TinyWorkload(Workload):
    name: ClassVar[str] = "tiny"
    streams: ClassVar[tuple[StreamSpec, ...]] = (StreamSpec("rows", "nothing is learnt"),)
    Parameters: ClassVar[type[msgspec.Struct]] = TinyParameters

    def reject_reason(self, stream: str, fields: Mapping[str, Any]) -> str | None:
        return None

    def training_set(self, tables: Mapping[str, Table]) -> TrainingSet:
        raise NotImplementedError

    def split(self, rows: TrainingSet) -> tuple[TrainingSet, TrainingSet]:
        raise NotImplementedError

    def fit(self, train: TrainingSet, seed: int, progress: Progress) -> Any:
        raise NotImplementedError

    def score(self, estimator: Any, holdout: TrainingSet) -> Score:
        raise NotImplementedError

    def score_baseline(self, holdout: TrainingSet) -> Score:
        raise NotImplementedError

    def state(self, rows: TrainingSet) -> Mapping[str, bytes]:
        raise NotImplementedError

    def golden_requests(self, rows: TrainingSet) -> Sequence[GoldenRequest]:
        raise NotImplementedError

    @property
    def features(self) -> tuple[FeatureSpec, ...]:
        return FEATURES

    def open(self, estimator: Any, state: Mapping[str, bytes]) -> Answerer:
        time.sleep(estimator.get("load_s", 0))
        if estimator.get("broken") == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if "slow_while" in estimator:
            with contextlib.suppress(FileNotFoundError):
                Path(estimator["slow_while"]).unlink()  # only one process finds it
                time.sleep(0.3)
        if "broken_while" in estimator:
            with contextlib.suppress(FileNotFoundError):
                Path(estimator["broken_while"]).unlink()  # only one process finds it
                raise RuntimeError("this model breaks in one process")
        if estimator.get("broken") == "exit":
            sys.exit(1)
        if estimator.get("broken") == "load":
            raise RuntimeError("this model breaks when it is opened")
        ballast = np.ones(estimator.get("ballast_mb", 0) * 125_000)
        return TinyAnswerer(estimator["number"], estimator.get("broken"), ballast)


class TinyAnswerer(Answerer):
    """Answers `number` twice: as the model knows it and through the rows."""

    rows = RowContract(FEATURES)

    def __init__(self, number: int, broken: str | None, ballast: Any) -> None:
        self._number = number
        self._broken = broken
        self._ballast = ballast
        self._n_asked = 0
        self.row_facts = {"number": number}

    @property
    def questions(self) -> Mapping[str, str]:
        return {"predict": "the version's number", "forecast": "as spare_parts", "parts": "names"}

    def answer(self, question: str, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        if question == "forecast":
            days = request.get("forecast_days", 7)
            if not isinstance(days, int) or not 1 <= days <= 90:
                raise RequestInvalid("a whole number from 1 to 90", days, "forecast_days")
            return {"status": "success", "forecast_period_days": days}
        if question == "parts":
            return {"parts": [f"part {self._number}"], "total": 1}
        if question != "predict":
            raise NotFound(f"no question {question!r}.")
        time.sleep(request.get("sleep_s", 0))
        if request.get("exit"):
            sys.exit(1)
        if request.get("raise"):
            raise ZeroDivisionError("asked to fail")
        return self.answer_rows(request.get("instances", [{"x": 0}]))

    def predict_rows(self, matrix: NDArray[np.float64]) -> Mapping[str, NDArray[Any]]:
        self._n_asked += 1
        if self._broken == "warm" and self._n_asked > 1:
            raise RuntimeError("this model breaks when it is warmed")
        wrong = 1 if self._broken == "golden" else 0
        return {"predictions": np.full(len(matrix), self._number + wrong)}
