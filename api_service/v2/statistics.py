"""Report request counts and durations by the protocol's statistics extension.

From the sums over all workers that the metrics keep. Values in, values out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api_service.metrics.recorder import NO_VERSION, ROWS, SUM_S, Cell, Key

_FIRST_ERROR = 400


def statistics(
    cells: Mapping[Key, Cell], model: str | None = None, version: str | None = None
) -> list[dict[str, Any]]:
    """Of everything, of one model, or of one version of it; durations in nanoseconds.

    Args:
        cells: what was counted of each model, version, route and status.
    """
    found: dict[tuple[str, str], list[tuple[int, Cell]]] = {}
    for (name, one, _, status), cell in cells.items():
        if one != NO_VERSION and model in (None, name) and version in (None, one):
            found.setdefault((name, one), []).append((status, cell))
    return [_line(*key, found[key]) for key in sorted(found)]


def _line(model: str, version: str, counted: list[tuple[int, Cell]]) -> dict[str, Any]:
    good = [cell for status, cell in counted if status < _FIRST_ERROR]
    bad = [cell for status, cell in counted if status >= _FIRST_ERROR]
    success = _duration(good)
    # A request is timed as a whole; nothing queues, and the parts are not measured one by one.
    no_time = {**success, "ns": 0}
    return {
        "name": model,
        "version": version,
        "inference_count": int(sum(cell[ROWS] for cell in good)),
        "execution_count": success["count"],
        "inference_stats": {
            "success": success,
            "fail": _duration(bad),
            "queue": no_time,
            "compute_input": no_time,
            "compute_infer": success,
            "compute_output": no_time,
        },
        "batch_stats": [],
    }


def _duration(cells: list[Cell]) -> dict[str, int]:
    n = sum(sum(cell[:SUM_S]) for cell in cells)
    return {"count": int(n), "ns": round(sum(cell[SUM_S] for cell in cells) * 1e9)}
