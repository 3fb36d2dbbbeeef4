"""Results as lines, as a table in Markdown, as JSON. Measures nothing."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.serving.measure import Cell, Found

HOTFIT = "Hotfit"
MAIN = Cell(1, 8)


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")


def throughput(found: Found, cell: Cell) -> float:
    """Requests a second, the median of the rounds."""
    return _median([one.requests_per_s for one in found.cells.get(cell, [])])


def latency_ms(found: Found, cell: Cell, quantile: str) -> float:
    """p50, p99 or p99.9 in milliseconds, the median of the rounds."""
    return _median([getattr(one, quantile) for one in found.cells.get(cell, [])])


def line(found: Found) -> str:
    """One server after one round, for whoever watches."""
    if found.failed is not None:
        return f"{found.model:9} {found.system:24} FAILED: {found.failed}"
    return (
        f"{found.model:9} {found.system:24} ready {_median(found.ready_s):6.2f} s "
        f"{throughput(found, MAIN):9.0f} /s  p99 {latency_ms(found, MAIN, 'p99_ms'):7.2f} ms "
        f"{throughput(found, Cell(100, 8)):8.0f} /s of 100 rows  {_median(found.pss_mb):6.0f} MB  "
        f"largest difference {found.largest_difference:.1e}"
    )


_HEAD = (
    "| server | 1 row, 1 conn. | 1 row, 8 conn. | 1 row, 64 conn. | p50 | p99 | p99.9 "
    "| 100 rows, 1 conn. | 100 rows, 8 conn. | 100 rows, 64 conn. | p99, 100 rows | ready "
    "| memory |"
)


def table(results: Sequence[Found]) -> str:
    """A table for each model, the fastest first."""
    parts = []
    for model in dict.fromkeys(found.model for found in results):
        rows = [found for found in results if found.model == model]
        rows.sort(key=lambda found: -throughput(found, MAIN) if found.cells else 0.0)
        parts += [f"\n### {model}\n", _HEAD, "| --- " + "| ---: " * 12 + "|"]
        parts += [_row(found) for found in rows]
    return "\n".join(parts)


def _row(found: Found) -> str:
    if found.failed is not None:
        return f"| {found.system} | " + " | ".join(["failed"] + [""] * 11) + " |"
    figures = [
        *(f"{throughput(found, Cell(1, n)):,.0f}" for n in (1, 8, 64)),
        *(f"{latency_ms(found, MAIN, one):.2f} ms" for one in ("p50_ms", "p99_ms", "p999_ms")),
        *(f"{throughput(found, Cell(100, n)):,.0f}" for n in (1, 8, 64)),
        f"{latency_ms(found, Cell(100, 8), 'p99_ms'):.2f} ms",
        f"{_median(found.ready_s):.2f} s",
        f"{_median(found.pss_mb):.0f} MB",
    ]
    return f"| {found.system} | " + " | ".join(figures) + " |"


def to_json(results: Sequence[Found], versions: Mapping[str, str]) -> str:
    """Everything that was measured."""
    fields: list[dict[str, Any]] = []
    for found in results:
        one = {name: value for name, value in vars(found).items() if name != "cells"}
        one["cells"] = [
            {**dataclasses.asdict(cell), "rounds": [dataclasses.asdict(m) for m in rounds]}
            for cell, rounds in found.cells.items()
        ]
        fields.append(one)
    return json.dumps({"versions": dict(versions), "results": fields}, indent=1)


def goals(results: Sequence[Found]) -> str:
    """What was set out to be shown, and what was found: Hotfit beside the best of the others."""
    lines = ["| goal | wanted | found |", "| --- | ---: | ---: |"]
    by_model: dict[str, list[Found]] = {}
    for found in results:
        if found.failed is None and found.cells:
            by_model.setdefault(found.model, []).append(found)
    for model, rows in by_model.items():
        own = next((one for one in rows if one.system == HOTFIT), None)
        peers = [one for one in rows if one.system != HOTFIT]
        if own is None or not peers:
            continue
        for sentence, wanted, ratio in _ratios(model, own, peers):
            lines.append(f"| {model}: {sentence} | {wanted} | {ratio:.2f} × |")
    return "\n".join(lines)


def _ratios(model: str, own: Found, peers: Sequence[Found]) -> Sequence[tuple[str, str, float]]:
    def times(cell: Cell) -> float:
        return throughput(own, cell) / max(throughput(one, cell) for one in peers)

    def share(value: Callable[[Found], float]) -> float:
        return value(own) / min(value(one) for one in peers)

    if model == "bare":
        return [("requests/s, 1 row, 8 connections", "≥ 8 ×", times(MAIN))]
    wanted = {"ridge": "≥ 50 ×", "forest": "≥ 20 ×"}.get(model, "")
    rows = [("requests/s, 1 row, 8 connections", wanted, times(MAIN))]
    if model == "ridge":
        p99 = share(lambda one: latency_ms(one, MAIN, "p99_ms"))
        rows += [
            ("requests/s, 100 rows, 8 connections", "≥ 20 ×", times(Cell(100, 8))),
            ("p99, 1 row, 8 connections", "≤ 0.05 ×", p99),
            ("start to first right answer", "≤ 0.17 ×", share(lambda one: _median(one.ready_s))),
            ("memory of all processes", "≤ 0.33 ×", share(lambda one: _median(one.pss_mb))),
        ]
    return rows
