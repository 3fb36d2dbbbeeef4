"""What forecasts of a fleet foretold, and what its samples say came of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.records import to_epoch_us
from shared.workloads.live import Expectation, Outcome
from shared.workloads.server_metrics.records import Sample

_MINUTE_US = 60_000_000


def expectations(answer: Mapping[str, Any], metrics: Sequence[str]) -> list[Expectation]:
    """Each metric of each server at each horizon; a minute's mean is what a forecast is of.

    Of servers that had fallen silent nothing is expected.
    """
    found = []
    for server in answer.get("servers", ()):
        if server["is_silent"]:
            continue
        for step in server["forecast"]:
            at_us = to_epoch_us(datetime.fromisoformat(step["at"]))
            for metric in metrics:
                band = step.get(metric)
                if isinstance(band, Mapping):
                    found.append(
                        Expectation(
                            series=series_of(server["server"], metric),
                            at_us=at_us,
                            from_us=at_us,
                            until_us=at_us + _MINUTE_US,
                            value=band["expected"],
                            slice=f"{metric} in {step['horizon_min']} min",
                            how="mean",
                            low=band["low"],
                            high=band["high"],
                        )
                    )
    return found


def outcomes(sample: Sample) -> list[Outcome]:
    """Every metric of a sample that says when it was."""
    if sample.at is None:
        return []
    at_us = to_epoch_us(sample.at)
    return [
        Outcome(series_of(sample.server, metric), at_us, value)
        for metric, value in sample.values.items()
    ]


def series_of(server: str, metric: str) -> str:
    return json.dumps([server, metric], ensure_ascii=False)
