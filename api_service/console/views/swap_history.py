"""Chart the time that the last swaps took, by stage, from their receipts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api_service.console.charts.drawing import Picture
from api_service.console.charts.plots import Bar, bars
from api_service.console.formatting import figure, moment, several, short_version
from shared.run_log.reader import Event

_STAGES = (("verify", "s2"), ("load", "s1"), ("golden", "s3"), ("warm", "s4"))
_MOST = 8


def picture(swaps: Sequence[Event]) -> Picture | None:
    """Of swap events, oldest first; the slowest worker of each version stands for it."""
    slowest: dict[str, Mapping[str, Any]] = {}
    for event in swaps:
        receipt = event.details.get("receipt")
        if not receipt or receipt["previous"] is None:
            continue  # a cold start replaces nothing
        if _ready_ms(receipt) > _ready_ms(slowest.get(receipt["version"])):
            slowest[receipt["version"]] = receipt
    found = list(slowest.values())[-_MOST:][::-1]
    if not found:
        return None
    return bars(
        "swaps",
        "How long a new version took until it was ready",
        f"The last {several(len(found), 'version')}, by stage, on the slowest worker. The old one"
        " went on answering meanwhile; the switch itself took at most"
        f" {figure(max(one['switch_ms'] for one in found), 2)} ms.",
        [
            Bar(
                short_version(one["version"]),
                [(one[f"{stage}_ms"], kind, stage) for stage, kind in _STAGES],
                f"{_ready_ms(one):.0f}",
            )
            for one in found
        ],
        unit="ms",
        columns=["version", "at, UTC", *(f"{s} ms" for s, _ in _STAGES), "switch ms", "failed"],
        rows=[
            [
                short_version(one["version"]),
                moment(one["swapped_at"]),
                *(figure(one[f"{stage}_ms"], 3) for stage, _ in _STAGES),
                figure(one["switch_ms"], 2),
                figure(one["requests_failed"]),
            ]
            for one in found
        ],
        legend=[(f"k-{kind} m-area", stage) for stage, kind in _STAGES],
        left=80,
    )


def _ready_ms(receipt: Mapping[str, Any] | None) -> float:
    return sum(receipt[f"{stage}_ms"] for stage, _ in _STAGES) if receipt else -1.0
