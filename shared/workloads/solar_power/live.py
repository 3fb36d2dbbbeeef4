"""What answers about a device foretold, and what its readings say came of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from shared.documents.numbers import parse_number
from shared.documents.time_policy import NoTime
from shared.documents.times import parse_time
from shared.records import to_epoch_us
from shared.workloads.live import Expectation, Outcome
from shared.workloads.solar_power import records as documents


def expectations(answer: Mapping[str, Any], tolerance_us: int) -> list[Expectation]:
    """Of a forecast from readings: a feature row does not say which moment it is of."""
    forecast, device = answer.get("forecast"), answer.get("device_id")
    if not isinstance(forecast, Mapping) or not isinstance(device, str):
        return []
    at_us = to_epoch_us(datetime.fromisoformat(forecast["timestamp"]))
    return [
        Expectation(
            series=device,
            at_us=at_us,
            from_us=at_us - tolerance_us,
            until_us=at_us + tolerance_us + 1,
            value=forecast["power_w"],
            slice=device,
            low=forecast.get("low_w"),
            high=forecast.get("high_w"),
        )
    ]


def outcomes(fields: Mapping[str, Any], time_zone: ZoneInfo) -> list[Outcome]:
    """The power of a usable reading whose time and power can be read in one way alone."""
    raw = documents.raw_reading(fields)
    device = documents.device_of(raw.device_id)
    if device is None or documents.unusable(raw, time_zone) is not None:
        return []
    at_us = parse_time(raw.timestamp, documents.time_policy(time_zone))
    power = parse_number(raw.power, documents.PLAIN[documents.POWER])
    if isinstance(at_us, NoTime) or not isinstance(power, float):
        return []
    return [Outcome(device, at_us, power)]
