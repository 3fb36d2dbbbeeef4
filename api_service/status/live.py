"""Say how far answers were from what came, beside what was expected. Values in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from shared.exchange.retrain_report import LiveVersion


def live_line(found: LiveVersion, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """metrics : of the version's manifest, by whom they are of."""
    expected = metrics.get("candidate", {}).get("mae") if found.error is not None else None
    return {**msgspec.structs.asdict(found), "expected": expected}


def live_sentence(
    lines: Sequence[Mapping[str, Any]], served: str | None, *, is_judged: bool = True
) -> str:
    """Of the version that serves, with what was expected of it.

    is_judged : whether answers of its workload are compared with what came.
    """
    if not is_judged:
        return "answers of this workload are logged, and not yet compared with what came."
    line = next((one for one in lines if one["version"] == served), None)
    if line is None:
        return "no truth is known yet of what this version answered."
    answers = f"{line['n']:,} answers since {line['since']:%Y-%m-%d}"
    if line["error"] is None:
        return f"live errors of {answers}, by slice."
    expected = line["expected"]
    beside = f", expected {expected:.3g}" if expected is not None else ""
    within = f" ({line['low']:.3g} to {line['high']:.3g})" if line["low"] is not None else ""
    return f"live error {line['error']:.3g}{within} over {answers}{beside}."
