"""How well alerts foretell trouble: made-up servers with caches, leaks, waves and storms of load.

    python -m benchmarks.accuracy_alerts

A server is "at the limit within the hour" at a minute if one of its metrics is at 98.5 % of its
limit in one of the 60 minutes after it. Precision and recall of `critical`, over servers and
minutes that training has not seen; the series are made from seeds, and those that were looked at
while the rules were written (0 to 9) are not among them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.records import Table
from shared.workloads.server_metrics.workload import STREAM, ServerMetrics

SEED = 1_000
GOAL_PRECISION, GOAL_RECALL = 0.8, 0.7
_DAY_MIN, _N_DAYS, _N_SERVERS = 1440, 6, 8
_START_S = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp())
_EVERY_MIN = 7

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Alerts:
    """Shares of the minutes asked for. of_healthy : `critical` for servers with a full cache."""

    precision: float
    recall: float
    of_healthy: float
    in_band: float
    n_in_trouble: int
    n_asked: int


def make_server(kind: str, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(cpu, memory), percent, one a minute."""
    n = _DAY_MIN * _N_DAYS
    minute = np.arange(n)
    noise = np.zeros(n)
    for i, step in enumerate(rng.normal(0, 1.5, n - 1), start=1):
        noise[i] = 0.9 * noise[i - 1] + step
    cpu = 35 + 15 * np.sin(2 * np.pi * (minute / _DAY_MIN - 0.3)) + noise
    cpu += 12 * (minute % 5 == 0)
    memory = np.full(n, 55.0) + np.cumsum(rng.normal(0, 0.05, n)) * 0.2
    if kind == "cache":
        memory = 96 + 0.8 * np.sin(2 * np.pi * minute / 700) + rng.normal(0, 0.15, n)
    if kind == "leak":
        hours = rng.uniform(5, 12)
        memory = 45 + (minute % int(hours * 60 + 45)) * 55 / (hours * 60) + rng.normal(0, 0.2, n)
    if kind == "storms":
        for begin in rng.choice(n - 200, 3 * _N_DAYS, replace=False):
            rise, last = rng.integers(20, 50), rng.integers(30, 90)
            shape = np.concatenate([np.linspace(0, 70, rise), np.full(last, 70.0)])
            cpu[begin : begin + len(shape)] += shape[: n - begin]
    return np.clip(cpu, 0, 100), np.clip(memory, 0, 100)


def measure(seed: int = SEED) -> Alerts:
    """Fit on the first five days, ask through the last."""
    rng = np.random.default_rng(seed)
    kinds = ("plain", "cache", "leak", "storms") * (_N_SERVERS // 4)
    fleet = {f"{kind}-{i}": make_server(kind, rng) for i, kind in enumerate(kinds)}
    first = _DAY_MIN * (_N_DAYS - 1)
    workload = ServerMetrics({"metrics": ["cpu", "memory"], "max_rows": 40_000})
    rows = workload.training_set({STREAM: _table(fleet, first)})
    estimator = workload.fit(rows, seed=0, progress=lambda _fraction, _stage: None)
    answerer = workload.open(estimator, workload.state(rows))
    is_critical, is_in_trouble, is_healthy, in_band = [], [], [], []
    for now in range(first, _DAY_MIN * _N_DAYS - 61, _EVERY_MIN):
        windows = {
            name: [
                {"at": float(_START_S + 60 * m), "cpu": cpu[m], "memory": memory[m]}
                for m in range(now - 60, now + 1)
            ]
            for name, (cpu, memory) in fleet.items()
        }
        at = datetime.fromtimestamp(_START_S + 60 * now + 5, UTC)
        for server in answerer.answer("fleet", {"windows": windows}, at)["servers"]:
            coming = [series[now + 1 : now + 61] for series in fleet[server["server"]]]
            is_critical.append(server["alert_level"] == "critical")
            is_in_trouble.append(max(series.max() for series in coming) >= 98.5)
            is_healthy.append(server["server"].startswith("cache"))
            last = server["forecast"][-1]
            for metric, series in zip(("cpu", "memory"), coming, strict=True):
                in_band.append(last[metric]["low"] <= series[-1] <= last[metric]["high"])
    said, was, healthy = (np.array(x) for x in (is_critical, is_in_trouble, is_healthy))
    return Alerts(
        float((said & was).sum() / max(said.sum(), 1)),
        float((said & was).sum() / max(was.sum(), 1)),
        float(said[healthy & ~was].mean()),
        float(np.mean(in_band)),
        int(was.sum()),
        len(was),
    )


def _table(fleet: dict[str, tuple[Floats, Floats]], n: int) -> Table:
    bodies, times_us = [], []
    for name, (cpu, memory) in fleet.items():
        for minute in range(n):
            at_s = _START_S + 60 * minute
            row = {
                "server": name,
                "ts": at_s,
                "cpu": float(cpu[minute]),
                "memory": float(memory[minute]),
            }
            bodies.append(msgspec.json.encode(row))
            times_us.append((at_s + 1) * 1_000_000)
    return Table(STREAM, [str(i) for i in range(len(bodies))], times_us, bodies)


def main(arguments: list[str]) -> int:
    seeds = [int(text) for text in arguments] or [SEED, SEED + 1, SEED + 2]
    print("`critical` for 'at the limit within the hour'; servers and minutes not trained on")
    print("  seed  precision  recall  critical with a full cache  in the 80 % band at 60 min")
    is_held = True
    for seed in seeds:
        found = measure(seed)
        is_held &= found.precision >= GOAL_PRECISION and found.recall >= GOAL_RECALL
        print(
            f"  {seed:>4}  {found.precision:9.2f}  {found.recall:6.2f}  {found.of_healthy:26.0%}"
            f"  {found.in_band:27.0%}   ({found.n_in_trouble} of {found.n_asked} in trouble)"
        )
    goal = f"precision {GOAL_PRECISION}, recall {GOAL_RECALL}"
    print(f"goal: {goal}: {'held' if is_held else 'MISSED'}")
    return 0 if is_held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
