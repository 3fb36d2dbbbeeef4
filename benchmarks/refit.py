"""What is gained by the second fit, and what the gates around it refuse: made-up and real data.

    python -m benchmarks.refit [--write]

Gain: the errors of twin and refit, of the same run, on the days that come after it. Gates: on how
many days a training would have been refused because of its newest week, in real data as it is and
with a newest week that is poisoned or changed; and how often a refit was too far from its twin.
`--write` puts the tables into docs/promotion.md.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks import accuracy_movielens, accuracy_server_metrics, accuracy_solar, accuracy_yaz
from retrain_service.promotion.newest_days import judge_newest_days
from retrain_service.promotion.refit_gate import judge_refit
from retrain_service.trainer.fit import Candidate, refit
from scripts.setup.test_data import server_metrics_file
from shared.records import Table, to_epoch_us
from shared.settings.per_model import GateSettings
from shared.workloads import open_workload
from shared.workloads.contract import Workload
from shared.workloads.training import TrainingSet

DOCS = Path(__file__).parent.parent / "docs" / "promotion.md"
BEGIN, END = "<!-- refit: begin -->", "<!-- refit: end -->"
POLICY = GateSettings()
N_DAYS, N_AFTER, A_DAY = 365, 28, 4
SEEDS = range(3)
FIRST = np.datetime64("2025-01-01")

STORES = ("2", "17", "19")

Record = dict[str, Any]
Day = np.datetime64
Change = Callable[[float], float]

# -- worlds --------------------------------------------------------------------------------------

WORLDS: Mapping[str, Callable[[int, str], tuple[float, float]]] = {
    "still": lambda _day, _shop: (0.0, 1.0),
    "level + 20 since 20 days": lambda day, _shop: (20.0 if day >= N_DAYS - 20 else 0.0, 1.0),
    "level + 20 since 60 days": lambda day, _shop: (20.0 if day >= N_DAYS - 60 else 0.0, 1.0),
    "a new category and +15 % since 45 days": lambda day, shop: (
        60.0 if shop == "new" else 0.0,
        1.15 if day >= N_DAYS - 45 else 1.0,
    ),
}
PARAMETERS: Mapping[str, Any] = {
    "target": "y",
    "features": ["day", "a", "b", "shop"],
    "time": "at",
    "estimator": "random_forest",
    "estimator_options": {"n_estimators": 30, "n_jobs": 1},
}


def world(name: str, seed: int) -> list[Record]:
    """Sales of three shops, noise 5, for a year and the four weeks after it."""
    dice = np.random.default_rng(seed)
    found = []
    for day in range(N_DAYS + N_AFTER):
        shops = ["east", "west"]
        if name.startswith("a new category") and day >= N_DAYS - 45:
            shops.append("new")
        for i in range(A_DAY):
            shop, a, b = shops[i % len(shops)], dice.normal(), dice.normal()
            more, times = WORLDS[name](day, shop)
            y = (100 + 10 * a + 5 * b + 20 * (shop == "west") + more) * times + dice.normal(0, 5)
            at = str(FIRST + np.timedelta64(day, "D"))
            found.append({"at": at, "day": day, "a": a, "b": b, "shop": shop, "y": float(y)})
    return found


def as_table(stream: str, records: Sequence[Record]) -> Table:
    first_us = to_epoch_us(datetime(2027, 1, 1, tzinfo=UTC))
    ids, times = [f"{i:07d}" for i in range(len(records))], range(first_us, first_us + len(records))
    return Table(stream, ids, list(times), [msgspec.json.encode(each) for each in records])


# -- twin and refit ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pair:
    """Mean errors on the days that follow, and whether the gate let the refit pass."""

    twin: float
    refit: float
    naive: float
    is_passed: bool


def both(workload: Workload, known: TrainingSet, after: TrainingSet) -> Pair:
    """Twin and refit of a run on what is known, and their errors on the days after it."""
    train, holdout = workload.split(known)
    name = workload.candidates(train)[0]
    twin = workload.fit_candidate(name, train, 1, _nobody)
    served = refit(workload, Candidate(None, 0.0, 0, name), known, holdout, 1, _nobody).estimator
    judged = judge_refit(
        holdout, workload.score(twin, holdout), workload.score(served, holdout), POLICY
    )
    return Pair(
        twin=float(workload.score(twin, after).loss.mean()),
        refit=float(workload.score(served, after).loss.mean()),
        naive=float(workload.score_baseline(after).loss.mean()),
        is_passed=judged.verdict == "passed",
    )


def _nobody(_fraction: float, _stage: str) -> None:
    """Nobody watches."""


def gains() -> Iterator[str]:
    yield "Mean error on the days after a run, of what was judged and of what is published:"
    yield ""
    yield "| data | runs | naive baseline | twin (served before) | refit (now) | twin's excess |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for name in WORLDS:
        pairs = []
        for seed in SEEDS:
            workload = open_workload("tabular", PARAMETERS)
            rows = workload.training_set({"records": as_table("records", world(name, seed))})
            is_known = rows.day < FIRST + np.timedelta64(N_DAYS, "D")
            pairs.append(both(workload, rows.where(is_known), rows.where(~is_known)))
        yield _line(f"made up: {name}", pairs)
    for name, workload, rows, n_history, every, n_after in real_runs():
        days = np.unique(rows.day)
        pairs = []
        for end in days[max(n_history or 120, 120) : -n_after : every]:
            first = end - np.timedelta64(n_history, "D") if n_history else days[0] - 1
            known = rows.where((rows.day > first) & (rows.day <= end))
            after = rows.where((rows.day > end) & (rows.day <= end + np.timedelta64(n_after, "D")))
            pairs.append(both(workload, known, after))
        yield _line(name, pairs)
    if (found := _yaz()) is not None:
        workload, rows = found
        pairs = []
        for n in range(120, 765 - N_AFTER, 56):  # a history ends for all that is known of it
            found = _yaz(n=n)
            assert found is not None
            known = found[1]
            end = known.day.max()
            after = rows.where((rows.day > end) & (rows.day <= end + np.timedelta64(N_AFTER, "D")))
            pairs.append(both(workload, known, after))
        yield _line("spare parts, YAZ", pairs)


def _line(name: str, pairs: Sequence[Pair]) -> str:
    twin, served, naive = (
        float(np.mean([getattr(pair, each) for pair in pairs]))
        for each in ("twin", "refit", "naive")
    )
    refused = sum(not pair.is_passed for pair in pairs)
    also = f", {refused} refused by the gate" if refused else ""
    return (
        f"| {name} | {len(pairs)}{also} | {naive:.4g} | {twin:.4g} | **{served:.4g}** |"
        f" {100 * (twin / served - 1):+.1f} % |"
    )


# -- real data -----------------------------------------------------------------------------------


def real_runs() -> Iterator[tuple[str, Workload, TrainingSet, int, int, int]]:
    """Name, workload, rows, days of history (0: all), days between runs, days after a run."""
    if (found := _solar()) is not None:
        yield "solar power, 7 days of history", *found, 7, 30, 1
        yield "solar power, a year of history", *found, 365, 90, 7
    if (found := _bakery()) is not None:
        yield "tabular, sales of bakeries", *found, 0, 180, 28


def _yaz(change: Change | None = None, n: int = 765) -> tuple[Workload, TrainingSet] | None:
    directory = accuracy_yaz.data_directory()
    if directory is None:
        return None
    demand = accuracy_yaz.read_demand(directory)
    pieces = demand.pieces[:n].copy()
    if change is not None:
        pieces[-7:] = np.round([[change(value) for value in row] for row in pieces[-7:]])
    table = accuracy_yaz.as_appointments(replace(demand, pieces=pieces))
    workload = open_workload("spare_parts", {})
    return workload, workload.training_set({"appointments": table})


def _solar(
    change: Change | None = None, last: slice = slice(None)
) -> tuple[Workload, TrainingSet] | None:
    directory = accuracy_solar.data_directory()
    if directory is None:
        return None
    documents = accuracy_solar.read_documents(directory)[last]
    if change is not None:
        documents[-7 * 48 :] = [
            {**each, "power": None if each["power"] is None else change(each["power"])}
            for each in documents[-7 * 48 :]
        ]
    workload = open_workload("solar_power", accuracy_solar.PARAMETERS)
    return workload, workload.training_set({"readings": accuracy_solar.as_table(documents)})


def _bakery(
    change: Change | None = None, until: str = "9", n_days: int = 7
) -> tuple[Workload, TrainingSet] | None:
    spec = find_spec("ddop")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    with (
        (folder / "bakery_data.csv").open() as facts,
        (folder / "bakery_target.csv").open() as sold,
    ):
        rows = zip(csv.DictReader(facts), csv.DictReader(sold), strict=True)
        records = [
            _bakery_record(fact, float(each["demand"]))
            for fact, each in rows
            if fact["store"] in STORES
        ]
    records = sorted((r for r in records if r["date"] <= until), key=lambda r: str(r["date"]))
    if change is not None:
        last = datetime.fromisoformat(records[-1]["date"]) - timedelta(days=n_days)
        records = [
            {**r, "demand": change(r["demand"])} if r["date"] > str(last.date()) else r
            for r in records
        ]
    features = ["store", "product", "weekday", "rain", "temperature", "promotion", "school"]
    workload = open_workload(
        "tabular", {**PARAMETERS, "target": "demand", "features": features, "time": "date"}
    )
    return workload, workload.training_set({"records": as_table("records", records)})


def _bakery_record(fact: Mapping[str, str], demand: float) -> Record:
    return {
        "date": fact["date"],
        "store": f"store {fact['store']}",
        "product": f"product {fact['product']}",
        "weekday": fact["weekday"],
        "rain": float(fact["rain"]),
        "temperature": float(fact["temperature"]),
        "promotion": int(fact["promotion_currentweek"]),
        "school": int(fact["is_schoolholiday"]),
        "demand": demand,
    }


# -- the newest week -----------------------------------------------------------------------------


def refused_as_it_is() -> Iterator[str]:
    yield "Trainings refused because of their newest week, in real data, one every few days:"
    yield ""
    yield "| data | trainings | refused |"
    yield "| --- | ---: | ---: |"
    for name, workload, rows, n_history, every in _as_it_is():
        days = np.unique(rows.day)
        ends = days[(n_history or min(14, len(days) // 2)) :: every]
        if not ends.size:
            continue
        n_refused = 0
        for end in ends:
            first = end - np.timedelta64(n_history, "D") if n_history else days[0] - 1
            part = rows.where((rows.day <= end) & (rows.day > first))
            n_refused += judge_newest_days(part, workload, POLICY).verdict == "failed"
        yield f"| {name} | {len(ends)} | {n_refused} ({100 * n_refused / len(ends):.1f} %) |"


def _as_it_is() -> Iterator[tuple[str, Workload, TrainingSet, int, int]]:
    if (found := _yaz()) is not None:
        yield "demand of seven products, YAZ, 765 days", *found, 0, 7
    if (found := _solar()) is not None:
        yield "solar power, three years", *found, 0, 3
        for n_history in (7, 35):
            yield f"solar power, {n_history} days of history", *found, n_history, 3
    if (found := _bakery()) is not None:
        yield "sales of bakeries, weather as features", *found, 0, 5
        workload, rows = found
        for one in np.unique(rows.features[:, :2], axis=0)[:4]:
            is_series = (rows.features[:, :2] == one).all(axis=1)
            yield (
                f"one product of one bakery ({int(one[0])}, {int(one[1])})",
                workload,
                rows.where(is_series),
                0,
                7,
            )
    if (path := server_metrics_file()) is not None:
        series = accuracy_server_metrics.read_series(path)
        metrics = open_workload("server_metrics", {"metrics": [accuracy_server_metrics.METRIC]})
        table = accuracy_server_metrics.as_records(series)
        yield (
            "load of a server, ten days",
            metrics,
            metrics.training_set({table.stream: table}),
            0,
            1,
        )
    if (folder := accuracy_movielens.data_directory()) is not None:
        shop = open_workload("product_recommender", {})
        tables = accuracy_movielens.as_tables(accuracy_movielens.read_films(folder))
        yield "MovieLens-100K", shop, shop.training_set(tables), 0, 5


CHANGES: Mapping[str, Change] = {
    "as it is": lambda v: v,
    "+ 30 %": lambda v: v * 1.3,
    "- 30 %": lambda v: v * 0.7,
    "+ 50 %": lambda v: v * 1.5,
    "times 10": lambda v: v * 10,
    "zeros": lambda _v: 0.0,
    "a thousandth": lambda v: v / 1000,
}


def refused_when_changed() -> Iterator[str]:
    yield (
        "Trainings refused when the newest week was changed like this (a week without any demand"
        " brings no rows of spare parts at all: their history ends before it):"
    )
    yield ""
    yield f"| data | {' | '.join(CHANGES)} |"
    yield f"| --- |{' ---: |' * len(CHANGES)}"
    ends = [f"20{year}-{month}-20" for year in (16, 17, 18) for month in ("04", "08", "12")][:4]
    tried: Mapping[str, Callable[[Change], Iterator[Any]]] = {
        "demand, YAZ": lambda change: (_yaz(change, n) for n in range(130, 765, 150)),
        "solar power": lambda change: (
            _solar(change, slice(n)) for n in range(48 * 150, 48 * 900, 48 * 180)
        ),
        "sales of bakeries": lambda change: (_bakery(change, end) for end in ends),
    }
    for name, of in tried.items():
        cells = []
        for change in CHANGES.values():
            found = [
                judge_newest_days(each[1], each[0], POLICY).verdict == "failed"
                for each in of(change)
                if each is not None
            ]
            cells.append(f"{sum(found)} of {len(found)}")
        yield f"| {name} | {' | '.join(cells)} |"


def main() -> int:
    lines: list[str] = []
    for table in (gains, refused_as_it_is, refused_when_changed):
        for line in chain(table(), [""]):
            lines.append(line)
            print(line, flush=True)
    text = "\n".join(lines).rstrip()
    if "--write" in sys.argv[1:]:
        before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        DOCS.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
