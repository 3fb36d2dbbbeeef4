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
        ({"cpu_user_pct": 4}, ["cpu_user_pct"]),
        ({"cpu_user_pct": 4, "cpu_sys_pct": 1, "cpu_idle_pct": 95}, []),
        ({"rack": 4, "process_id": 17, "cpu_name": "x", "temp_at": 5, "note": "load"}, []),
    ],
)
def test_a_column_that_looks_like_a_metric_is_named(more: dict[str, Any], named: list[str]) -> None:
    """Who has it believes that it is learnt from."""
    (remark,) = ServerMetrics({}).remarks("metrics", [{**ROW, **more}] * 5) or ("",)

    assert [name for name in more if f" {name}" in remark] == named


@pytest.mark.parametrize(
    ("values", "is_doubtful"),
    [((0.31, 0.92), True), ((0.31, 31.0), False), ((0.0, 0.0), False)],
)
def test_a_percentage_that_is_never_above_1_is_told(
    values: tuple[float, float], is_doubtful: bool
) -> None:
    """Fractions of 1 would be percentages that are never critical."""
    rows = [{**ROW, "cpu_pct": value} for value in values] * 20
    rows += [{**ROW, "host": "other", "cpu_pct": 90}] * 20

    remarks = ServerMetrics({}).remarks("metrics", rows)

    assert ["cpu of w is never above 1" in remark for remark in remarks] == [True] * is_doubtful
