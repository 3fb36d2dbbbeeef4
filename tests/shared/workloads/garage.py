"""A made-up garage: seeded demand, appointments in a table, an opened version."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.records import Table, to_epoch_us
from shared.workloads.contract import Answerer
from shared.workloads.spare_parts.workload import SpareParts
from shared.workloads.training import TrainingSet

FIRST_DAY = date(2025, 1, 6)  # a Monday
NOW = datetime(2025, 11, 26, 10, 30, tzinfo=UTC)


def no_progress(_fraction: float, _stage: str) -> None:
    """For fits that nobody watches."""


def demand(n_days: int, n_parts: int = 15, seed: int = 0) -> NDArray[np.float64]:
    """(n_days, n_parts) pieces; mostly 0 to 3 a day, half on Saturdays, closed on Sundays."""
    rng = np.random.default_rng(seed)
    rate = rng.lognormal(math.log(1.2), 0.6, n_parts)
    of_weekday = np.array([1.1, 1.0, 1.0, 1.0, 1.2, 0.5, 0.0])[np.arange(n_days) % 7]
    busy = rng.gamma(20.0, 1 / 20, n_days)
    return rng.poisson(rate * (of_weekday * busy)[:, None]).astype(np.float64)


def table(
    documents: Iterable[Mapping[str, Any]], written: date = date(2027, 1, 1), stream: str = ""
) -> Table:
    """Documents as the trainer gets them, all written on the same day."""
    bodies = [msgspec.json.encode(fields) for fields in documents]
    start_us = to_epoch_us(datetime(written.year, written.month, written.day, tzinfo=UTC))
    ids = [f"{i:06d}" for i in range(len(bodies))]
    written_us = [start_us + i for i in range(len(bodies))]
    return Table(stream or "appointments", ids, written_us, bodies)


def documents(pieces: NDArray[np.float64], first_day: date = FIRST_DAY) -> list[dict[str, Any]]:
    """One completed appointment per day."""
    return [
        {
            "status": "completed",
            "date": str(first_day + timedelta(days=number)),
            "spareParts": [
                {"name": f"Part {i:02d}", "quantity": amount} for i, amount in enumerate(row)
            ],
        }
        for number, row in enumerate(pieces.tolist())
    ]


def rows_of(pieces: NDArray[np.float64], workload: SpareParts | None = None) -> TrainingSet:
    """The training set of that demand."""
    workload = workload or SpareParts({})
    return workload.training_set({"appointments": table(documents(pieces))})


def opened(pieces: NDArray[np.float64], workload: SpareParts | None = None) -> Answerer:
    """A version fitted on the older four fifths, with the whole history as its state."""
    workload = workload or SpareParts({})
    rows = rows_of(pieces, workload)
    train, _ = workload.split(rows)
    return workload.open(workload.fit(train, 0, no_progress), workload.state(rows))


class RecordingEstimator:
    """Says the same for each part and remembers what it was asked."""

    def __init__(self, answer_per_row: float = 1.0) -> None:
        self.answer_per_row = answer_per_row
        self.asked: list[NDArray[np.float64]] = []

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        self.asked.append(features.copy())
        return np.full(len(features), self.answer_per_row)


def forecast(answerer: Answerer, now: datetime = NOW, **request: Any) -> dict[str, Any]:
    """Ask for a forecast."""
    return answerer.answer("forecast", request, now)
