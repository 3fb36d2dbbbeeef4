"""How well the spare-parts workload forecasts real demand: YAZ, 765 days of 7 products.

    python -m benchmarks.accuracy_yaz

Turns the daily demand into appointment documents in the shapes that databases hold, and runs
the workload as the daemons do: training set, split, fit, score; then the 7-day forecast through
the answer of an opened version, from every start day of the newest fifth. Weather, holidays and
closures of the data set are not used: an appointment does not know them.

The data comes with the package ddop (0.7.6), which is located, never imported.
"""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.newest_fifth import split_off_newest_fifth
from shared.records import Table, to_epoch_us
from shared.workloads.contract import Answerer
from shared.workloads.spare_parts.workload import SpareParts
from shared.workloads.training import TrainingSet

ONE_DAY_BAR = 4.88
SEVEN_DAY_BAR = 5.1
HORIZON_DAYS = 7

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Demand:
    """pieces : (n_days, n_parts), the days following each other from `first_day`."""

    first_day: date
    parts: tuple[str, ...]
    pieces: Floats

    @property
    def n_holdout_days(self) -> int:
        """The newest fifth."""
        return -(-len(self.pieces) // 5)

    def day(self, number: int) -> date:
        return self.first_day + timedelta(days=number)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Name -> mean absolute error in pieces per part and day, best known first in each table."""

    one_day: Mapping[str, float]
    seven_days: Mapping[str, float]

    @property
    def one_day_mae(self) -> float:
        return self.one_day["hotfit"]

    @property
    def seven_day_mae(self) -> float:
        return self.seven_days["hotfit"]


def data_directory() -> Path | None:
    """Where ddop keeps its data; None when it is not installed."""
    spec = find_spec("ddop")
    if spec is None or not spec.submodule_search_locations:
        return None
    directory = Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    return directory if (directory / "yaz_target.csv").exists() else None


def read_demand(directory: Path) -> Demand:
    """The daily totals as they stand in the two files."""
    with (directory / "yaz_data.csv").open(newline="", encoding="utf-8") as file:
        days = [date.fromisoformat(row["date"]) for row in csv.DictReader(file)]
    with (directory / "yaz_target.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    if days != [days[0] + timedelta(days=i) for i in range(len(days))]:
        raise ValueError("yaz_data.csv: expected one row per day without gaps")
    return Demand(days[0], tuple(header), np.array(rows, dtype=np.float64))


def as_appointments(demand: Demand, seed: int = 0) -> Table:
    """Appointments whose completed ones add up to the demand, day by day and part by part."""
    rng = random.Random(seed)
    ids: list[str] = []
    written_us: list[int] = []
    bodies: list[bytes] = []
    for number, row in enumerate(demand.pieces):
        day = demand.day(number)
        evening = to_epoch_us(datetime(day.year, day.month, day.day, 20, tzinfo=UTC))
        visits = [_document(day, lines, rng) for lines in _visits(demand.parts, row, rng)]
        visits.append({"status": "cancelled", "date": str(day), "spareParts": [demand.parts[0]]})
        for i, fields in enumerate(visits):
            ids.append(f"{day}-{i:03d}")
            written_us.append(evening + i)
            bodies.append(msgspec.json.encode(fields))
    return Table("appointments", ids, written_us, bodies)


def _visits(parts: tuple[str, ...], row: Floats, rng: random.Random) -> list[dict[str, int]]:
    """Spread a day's totals over about one visit per ten pieces."""
    visits: list[dict[str, int]] = [{} for _ in range(int(row.sum()) // 10 + 1)]
    for part, pieces in zip(parts, row.astype(int).tolist(), strict=True):
        while pieces > 0:
            taken = rng.randint(1, min(pieces, 6))
            visit = rng.choice(visits)
            visit[part] = visit.get(part, 0) + taken
            pieces -= taken
    return [visit for visit in visits if visit]


def _document(day: date, lines: Mapping[str, int], rng: random.Random) -> dict[str, Any]:
    """One completed appointment in one of the shapes that applications write."""
    moment = datetime(day.year, day.month, day.day, rng.randint(8, 18), 15, tzinfo=UTC)
    field, value = rng.choice(
        [
            ("date", day.isoformat()),
            ("appointmentDate", moment.isoformat()),
            ("completedDate", day.strftime("%d/%m/%Y")),
            ("timestamp", {"seconds": int(moment.timestamp()), "nanoseconds": 0}),
            ("createdAt", int(moment.timestamp() * 1000)),
        ]
    )
    spare_parts: Any = rng.choice(
        [
            [{"name": name, "quantity": pieces} for name, pieces in lines.items()],
            [{"name": name.upper(), "quantity": str(pieces)} for name, pieces in lines.items()],
            [name for name, pieces in lines.items() for _ in range(pieces)],
            dict(lines),
        ]
    )
    status = rng.choice(["completed", "COMPLETE", "Service completed"])
    return {"status": status, field: value, "spareParts": spare_parts}


def measure(demand: Demand) -> Accuracy:
    """Fit on the older four fifths, measure on the newest fifth."""
    workload = SpareParts({})
    rows = workload.training_set({"appointments": as_appointments(demand)})
    _check_totals(rows, demand)
    train, holdout = split_off_newest_fifth(rows, rows.context.history.n_days)
    estimator = workload.fit(train, seed=0, progress=lambda _fraction, _stage: None)
    one_day = {
        "hotfit": workload.score(estimator, holdout).metrics["mae"],
        "weighted same-weekday mean (the naive baseline)": workload.score_baseline(holdout).metrics[
            "mae"
        ],
        "mean of the last eight same weekdays": _naive_mae(demand, 1, range(7, 57, 7)),
        "the same day last week": _naive_mae(demand, 1, [7]),
    }
    answerer = workload.open(estimator, workload.state(rows))
    seven_days = {
        "hotfit": _rolled_mae(demand, answerer),
        "mean of the last eight same weekdays": _naive_mae(demand, 7, range(7, 57, 7)),
        "mean per weekday of the older four fifths": _fixed_mae(demand, by_weekday=True),
        "one constant per part instead of the history": _fixed_mae(demand, by_weekday=False),
    }
    return Accuracy(one_day, seven_days)


def _check_totals(rows: TrainingSet, demand: Demand) -> None:
    history = rows.context.history
    order = [
        history.parts.index(next(p for p in history.parts if p.lower() == name))
        for name in demand.parts
    ]
    if not np.array_equal(history.pieces[:, order], demand.pieces):
        raise AssertionError("the appointments do not add up to the demand")


def _rolled_mae(demand: Demand, answerer: Answerer) -> float:
    """The served forecast from every start day whose 7 days lie in the newest fifth."""
    n_days = len(demand.pieces)
    errors = []
    for start in range(n_days - demand.n_holdout_days, n_days - HORIZON_DAYS + 1):
        day = demand.day(start)
        now = datetime(day.year, day.month, day.day, 6, tzinfo=UTC)
        request = {"forecast_days": HORIZON_DAYS, "current_date": day.isoformat()}
        answer = answerer.answer("forecast", request, now)
        for offset, served in enumerate(answer["daily_breakdown"]):
            pieces = {name.lower(): value for name, value in served["parts"].items()}
            forecast = np.array([pieces[name] for name in demand.parts])
            errors.append(np.abs(forecast - demand.pieces[start + offset]))
    return float(np.mean(errors))


def _naive_mae(demand: Demand, horizon_days: int, lags_days: range | list[int]) -> float:
    """Mean over past days; a lag shorter than the step ahead is not known, so none is used."""
    n_days = len(demand.pieces)
    errors = []
    for start in range(n_days - demand.n_holdout_days, n_days - horizon_days + 1):
        for offset in range(horizon_days):
            day = start + offset
            forecast = np.mean(
                [demand.pieces[day - lag] for lag in lags_days if lag > offset], axis=0
            )
            errors.append(np.abs(forecast - demand.pieces[day]))
    return float(np.mean(errors))


def _fixed_mae(demand: Demand, by_weekday: bool) -> float:
    """What can be said without recent history: means of the older four fifths, never updated."""
    n_days = len(demand.pieces)
    split = n_days - demand.n_holdout_days
    group = np.arange(n_days) % 7 if by_weekday else np.zeros(n_days, dtype=int)
    older, newest = demand.pieces[:split], demand.pieces[split:]
    means = np.array([older[group[:split] == g].mean(axis=0) for g in np.unique(group)])
    return float(np.mean(np.abs(means[group[split:]] - newest)))


def main() -> int:
    directory = data_directory()
    if directory is None:
        print("ddop is not installed: pip install --no-deps ddop==0.7.6", file=sys.stderr)
        return 2
    demand = read_demand(directory)
    accuracy = measure(demand)
    print(f"YAZ, {len(demand.pieces)} days, newest {demand.n_holdout_days} held out; MAE in pieces")
    for title, bar, table in (
        ("one day ahead", ONE_DAY_BAR, accuracy.one_day),
        ("7 days, rolled day by day", SEVEN_DAY_BAR, accuracy.seven_days),
    ):
        print(f"\n{title} (at most {bar})")
        for name, mae in table.items():
            print(f"  {mae:6.3f}  {name}")
    is_within = accuracy.one_day_mae <= ONE_DAY_BAR and accuracy.seven_day_mae <= SEVEN_DAY_BAR
    return 0 if is_within else 1


if __name__ == "__main__":
    sys.exit(main())
