"""A made-up solar device: seeded readings, as documents in a table."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from shared.records import Table, to_epoch_us
from shared.workloads.solar_power.workload import SolarPower
from shared.workloads.training import TrainingSet

START = datetime(2026, 11, 9, 18, 30, tzinfo=UTC)  # midnight in Colombo
WRITTEN = datetime(2026, 12, 1, tzinfo=UTC)
COLOMBO = {"time_zone": "Asia/Colombo"}


def no_progress(_fraction: float, _stage: str) -> None:
    """For fits that nobody watches."""


def reading(at: datetime, power: float, **fields: Any) -> dict[str, Any]:
    """One document; `fields` over what is usual."""
    return {
        "device_id": "inverter-1",
        "timestamp": at.isoformat(),
        "power": power,
        "voltage": 17.5,
        "current": round(power / 17.5, 3),
        "lux": power * 300,
        "temperature": 29.5,
        "humidity": 70.0,
        "servo_angle": 90,
        "fan_status": "ON" if power > 150 else "OFF",
        "status": "online",
        **fields,
    }


def days_of_sun(n_days: int, every_min: float = 5, seed: int = 0) -> list[dict[str, Any]]:
    """Sun between six and six, clouds that come and go around the middle."""
    dice = random.Random(seed)
    n = round(n_days * 1440 / every_min)
    found = []
    for i in range(n):
        hour = (i * every_min / 60) % 24
        sun = max(0.0, math.sin(math.pi * (hour - 6) / 12))
        power = 300 * sun * (1 - 0.6 * dice.random())
        found.append(reading(START + timedelta(minutes=i * every_min), round(power, 2)))
    return found


def table(documents: Iterable[Mapping[str, Any]], written: datetime = WRITTEN) -> Table:
    """Documents as the trainer gets them, all written at the end, one after the other."""
    bodies = [msgspec.json.encode(fields) for fields in documents]
    start_us = to_epoch_us(written)
    ids = [f"{i:06d}" for i in range(len(bodies))]
    return Table("readings", ids, [start_us + i for i in range(len(bodies))], bodies)


def rows_of(
    documents: Iterable[Mapping[str, Any]], parameters: Mapping[str, Any] | None = None
) -> TrainingSet:
    """The training set of these documents; without parameters for a device in Colombo."""
    workload = SolarPower(COLOMBO if parameters is None else parameters)
    return workload.training_set({"readings": table(documents)})
