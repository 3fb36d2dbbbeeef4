"""Columns that look like metrics are named when nothing reads them."""

from __future__ import annotations

from typing import Any

import pytest

from shared.workloads.server_metrics.workload import ServerMetrics

ROW = {"host": "w", "timestamp": "2026-01-01T00:00:00Z", "cpu_pct": 5}


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"swap_pct": 3, "netInMb": "1.5"}, ["swap_pct", "netInMb"]),
        ({"memUsed": "63 %", "disk": {"percent": 5}}, ["memUsed"]),
        ({"mem_pct": 3, "load1": 1, "fs_pct": 4}, []),
        ({"rack": 4, "process_id": 17, "cpu_name": "x", "temp_at": 5, "note": "load"}, []),
    ],
)
def test_a_column_that_looks_like_a_metric_is_named(more: dict[str, Any], named: list[str]) -> None:
    """Who has it believes that it is learnt from."""
    (remark,) = ServerMetrics({}).remarks("metrics", [{**ROW, **more}] * 5) or ("",)

    assert [name for name in more if f" {name}" in remark] == named
