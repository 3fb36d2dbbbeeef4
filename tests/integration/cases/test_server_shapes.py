"""Samples of servers as agents write them: memory in bytes, and a row for each metric."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from shared.workloads.server_metrics.features import METRIC, VALUE
from tests.integration.cases.case_home import CaseHome

SETTINGS = """
[sources.fleet]
kind = "sql"
url = "{sqlite}"
lag_s = 0
[models.fleet]
workload = "server_metrics"
source = "fleet"
[models.fleet.parameters]
metrics = ["cpu", "memory"]
"""
TOTAL = 16_777_216_000
END = datetime.now(UTC).replace(second=0, microsecond=0)


def at(minute: int, second: int = 0) -> str:
    return (END - timedelta(minutes=600 - minute) + timedelta(seconds=second)).isoformat()


def test_memory_in_bytes_is_the_share_that_is_used(tmp_path: Path) -> None:
    """The total in bytes was taken for a percentage, and a calm server was critical."""
    place = CaseHome(tmp_path, SETTINGS)
    used = [int(TOTAL * (0.35 + 0.05 * math.sin(m / 300))) for m in range(600)]
    place.table(
        "metrics",
        "id TEXT, host TEXT, timestamp TEXT, cpu REAL, memory TEXT, updated_at TEXT",
        [
            (f"m{m}", "web-1", at(m), 20.0, json.dumps(memory), at(m))
            for m, n in enumerate(used)
            for memory in [{"total": TOTAL, "free": TOTAL - n, "used": n}]
        ],
    )

    rows = place.read("fleet").rows

    memory = rows.features[rows.features[:, METRIC] == 1, VALUE]
    assert len(memory) > 500
    assert 30 <= memory.min() <= memory.max() <= 40
    assert rows.rejected == {}


def test_a_row_for_each_metric_gives_rows_of_all_metrics(tmp_path: Path) -> None:
    """Agents write the processor and the memory seconds apart, or name the metric in a field."""
    place = CaseHome(tmp_path, SETTINGS)
    place.table(
        "metrics",
        "id TEXT, host TEXT, timestamp TEXT, metric TEXT, value REAL, updated_at TEXT",
        [
            (f"{name} {m}", "web-1", at(m, second), name, number, at(m, second))
            for m in range(600)
            for name, second, number in (("cpu_usage", 1, 96.0), ("mem", 11, 30.0))
        ],
    )

    rows = place.read("fleet").rows

    of_cpu, of_memory = (rows.features[rows.features[:, METRIC] == n, VALUE] for n in (0, 1))
    assert len(of_cpu) > 500
    assert len(of_memory) > 500
    assert np.unique(of_cpu).tolist() == [96.0]
    assert np.unique(of_memory).tolist() == [30.0]
