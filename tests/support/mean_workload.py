"""`MeanWorkload`: the smallest workload that is whole, so that the engine can be tested fast.

Records `{"day": "2026-01-02", "value": 3.5}`; the model is the mean of the values; `predict`
answers it for every row. Everything else about it is real: rows, split, scores, state, goldens.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import RequestInvalid
from shared.records import Table
from shared.workloads.contract import Answerer, Workload
from shared.workloads.rows import FeatureSpec, RowContract
from shared.workloads.training import GoldenRequest, Progress, Score, StreamSpec, TrainingSet

HOLDOUT_SHARE = 0.2
FEATURES = (FeatureSpec("weekday", "int64", "day of week, Monday 0", 0, 6),)


class MeanParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a test can ask of the workload.

    offset : added to every prediction: makes a worse model on purpose.
    fit_s, fit_mb : how long a fit takes and how much memory it asks for.
    fit_fault : what goes wrong in a fit: raise, exit, kill or freeze.
    can_continue : whether a fitted estimator can be continued.
    kill_once : a file; where it is not there yet, a fit on `kill_rows` rows makes it and ends the
        process.
    """

    offset: float = 0.0
    fit_s: float = 0.0
    fit_mb: int = 0
    fit_fault: Literal["", "raise", "exit", "kill", "freeze"] = ""
    can_continue: bool = False
    kill_once: str = ""
    kill_rows: int = 0


class MeanWorkload(Workload):
    name: ClassVar[str] = "mean"
    streams: ClassVar[tuple[StreamSpec, ...]] = (StreamSpec("rows", "values by day"),)
    Parameters: ClassVar[type[msgspec.Struct]] = MeanParameters

    def reject_reason(self, stream: str, fields: Mapping[str, Any]) -> str | None:
        return None if "value" in fields else "no value"

    def training_set(self, tables: Mapping[str, Table]) -> TrainingSet:
        rows = sorted(
            (np.datetime64(record.fields["day"]), float(record.fields["value"]))
            for record in tables["rows"]
            if self.reject_reason("rows", record.fields) is None
        )
        day = np.array([at for at, _ in rows], dtype="datetime64[D]")
        return TrainingSet(
            features=((day.astype(np.int64) + 3) % 7).astype(np.float64)[:, None],
            target=np.array([value for _, value in rows]),
            day=day,
            slices=np.full(len(rows), "all"),
        )

    def split(self, rows: TrainingSet) -> tuple[TrainingSet, TrainingSet]:
        days = np.unique(rows.day)
        border = days[int(len(days) * (1 - HOLDOUT_SHARE)) - 1]
        return rows.where(rows.day <= border), rows.where(rows.day > border)

    def fit(self, train: TrainingSet, seed: int, progress: Progress) -> Any:
        _go_wrong(self.parameters.fit_fault)
        mark = self.parameters.kill_once
        if mark and train.n_rows == self.parameters.kill_rows and not Path(mark).exists():
            Path(mark).touch()
            _go_wrong("kill")
        held = np.ones(self.parameters.fit_mb * 125_000)
        threading.Event().wait(self.parameters.fit_s)
        progress(1.0, "mean")
        mean = float(train.target.mean()) + self.parameters.offset
        return {"mean": mean, "n": train.n_rows, "held": held.size}

    def fit_more(
        self, estimator: Any, new: TrainingSet, seed: int, progress: Progress
    ) -> Any | None:
        if not self.parameters.can_continue:
            return None
        n = estimator["n"] + new.n_rows
        total = estimator["mean"] * estimator["n"] + float(new.target.sum())
        return {**estimator, "mean": total / n, "n": n}

    def score(self, estimator: Any, holdout: TrainingSet) -> Score:
        return _score(holdout, np.full(holdout.n_rows, estimator["mean"]))

    def score_baseline(self, holdout: TrainingSet) -> Score:
        return _score(holdout, np.zeros(holdout.n_rows))

    def state(self, rows: TrainingSet) -> Mapping[str, bytes]:
        return {"state.json": msgspec.json.encode({"n_rows": rows.n_rows})}

    def golden_requests(self, rows: TrainingSet) -> Sequence[GoldenRequest]:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        return [GoldenRequest("predict", {"instances": [{"weekday": 1}]}, now)]

    @property
    def features(self) -> tuple[FeatureSpec, ...]:
        return FEATURES

    def open(self, estimator: Any, state: Mapping[str, bytes]) -> Answerer:
        return MeanAnswerer(estimator["mean"], msgspec.json.decode(state["state.json"])["n_rows"])


class MeanPerDevice(MeanWorkload):
    """One model per value of the field `device`."""

    name = "mean_per_device"
    per_entity = True

    def entity_of(self, stream: str, fields: Mapping[str, Any]) -> str | None:
        return str(fields["device"])


class MeanAnswerer(Answerer):
    rows = RowContract(FEATURES)

    def __init__(self, mean: float, n_rows: int) -> None:
        self._mean = mean
        self.row_facts = {"n_rows": n_rows}

    @property
    def questions(self) -> Mapping[str, str]:
        return {"predict": "the mean, for every row"}

    def answer(self, question: str, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        if question != "predict":
            raise RequestInvalid("the question predict", question, "question")
        return self.answer_rows(request.get("instances"))

    def predict_rows(self, matrix: NDArray[np.float64]) -> Mapping[str, NDArray[Any]]:
        return {"predictions": np.full(len(matrix), self._mean)}


def _go_wrong(fault: str) -> None:
    if fault == "raise":
        raise ZeroDivisionError("on purpose")
    if fault == "exit":
        os._exit(7)
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "freeze":
        os.kill(os.getpid(), signal.SIGSTOP)


def _score(holdout: TrainingSet, prediction: np.ndarray[Any, np.dtype[np.float64]]) -> Score:
    error = prediction - holdout.target
    metrics: dict[str, float] = {}
    if error.size:
        spread = float(np.sum((holdout.target - holdout.target.mean()) ** 2))
        metrics["mae"] = float(np.abs(error).mean())
        metrics["rmse"] = float(np.sqrt(np.mean(error**2)))
        if spread > 0:
            metrics["r2"] = 1.0 - float(np.sum(error**2)) / spread
    return Score(np.abs(error), holdout.day, holdout.slices, metrics, "units", prediction)
