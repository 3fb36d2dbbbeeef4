"""Chart requests and latency of the last versions of a model, from the counters.

Quantiles come from buckets a tenth of a decade wide, so they are right to about a tenth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from api_service.console.charts.drawing import Picture
from api_service.console.charts.plots import Bar, bars
from api_service.console.formatting import figure, short_version
from api_service.metrics.latency import quantile_s
from api_service.metrics.recorder import BOUNDS_S, ROWS, SUM_S, Cell
from api_service.metrics.worker_metrics import filled

if TYPE_CHECKING:
    from api_service.metrics.worker_metrics import Sum


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one version answered. Latencies in milliseconds."""

    version: str
    n_requests: int
    n_failed: int
    n_rows: int
    mean_ms: float
    p50_ms: float
    p99_ms: float


def by_version(total: Sum, model: str) -> list[Traffic]:
    """Oldest version first."""
    found: dict[str, list[float]] = {}
    failed: dict[str, int] = {}
    for (name, version, _route, status), cell in total.cells.items():
        if name != model or not version:
            continue
        sums = found.setdefault(version, [0.0] * len(cell))
        for i, value in enumerate(cell):
            sums[i] += value
        if status >= 500:
            failed[version] = failed.get(version, 0) + int(sum(cell[: len(BOUNDS_S) + 1]))
    return [_traffic(version, found[version], failed.get(version, 0)) for version in sorted(found)]


def _traffic(version: str, cell: Cell, n_failed: int) -> Traffic:
    n = int(sum(cell[: len(BOUNDS_S) + 1]))
    return Traffic(
        version,
        n,
        n_failed,
        int(cell[ROWS]),
        1e3 * cell[SUM_S] / n if n else 0.0,
        *(1e3 * (quantile_s(share, [filled(cell)]) or 0.0) for share in (0.5, 0.99)),
    )


def picture(total: Sum, model: str) -> Picture | None:
    """None before the first request."""
    found = by_version(total, model)
    if not found:
        return None
    last = found[-1]
    return bars(
        "traffic",
        "Requests and latency of the last versions",
        f"{short_version(last.version)} has answered {figure(last.n_requests)} requests,"
        f" {figure(last.n_failed)} of them failed; half within {figure(last.p50_ms, 2)} ms,"
        f" 99 of 100 within {figure(last.p99_ms, 2)} ms.{_around_the_swap(total, model)}",
        [
            Bar(
                short_version(one.version),
                [
                    (one.p50_ms, "s1", "half of the requests within"),
                    (max(one.p99_ms - one.p50_ms, 0.0), "s2", "and up to 99 of 100"),
                ],
                f"{figure(one.n_requests)} requests",
            )
            for one in reversed(found)
        ],
        unit="ms",
        legend=[("k-s1 m-area", "half within"), ("k-s2 m-area", "99 of 100 within")],
        columns=["version", "requests", "failed", "rows", "mean ms", "p50 ms", "p99 ms"],
        rows=[
            [
                short_version(one.version),
                *(figure(n) for n in (one.n_requests, one.n_failed, one.n_rows)),
                *(figure(ms, 3) for ms in (one.mean_ms, one.p50_ms, one.p99_ms)),
            ]
            for one in reversed(found)
        ],
        left=80,
        right=120,
    )


def _around_the_swap(total: Sum, model: str) -> str:
    """p99 of the ten seconds before and after the last swap, of all workers together."""
    windows = [one.windows[model] for one in total.running if model in one.windows]
    both = [
        quantile_s(0.99, found)
        for found in ([one.before for one in windows], [one.after or {} for one in windows])
    ]
    if None in both:
        return ""
    shown = [figure(1e3 * (p99_s or 0.0), 2) for p99_s in both]
    return (
        f" In the ten seconds before the last swap 99 of 100 came within {shown[0]} ms, in the ten"
        f" after it within {shown[1]} ms."
    )
