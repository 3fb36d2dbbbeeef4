"""Learn how a device's documents are written and what it measures; store that with a version.

Both halves of the workload read documents by it. Knows no feature and no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from shared.documents.number_columns import NO_BOUNDS, Bounds, column_policy, learn_bounds
from shared.documents.numbers import Decimal
from shared.documents.time_columns import column_times
from shared.workloads.solar_power.records import (
    PLAIN,
    SENSORS,
    RawReading,
    Writing,
    read_sensors,
    time_policy,
)


class StoredWriting(msgspec.Struct):
    """In a version's state. decimals, bounds : sensor -> what was learnt; left out: nothing was.

    bounds : low, high, code_low, code_high; null for none.
    """

    decimals: dict[str, Decimal] = {}
    bounds: dict[str, list[float | None]] = {}
    day_first: bool | None = None
    time_unit: str = ""


def learn_writing(
    raws: Sequence[RawReading], time_zone: ZoneInfo, rejected: Counter[str]
) -> Writing:
    """What all documents of one device say together.

    rejected : gets the sentence that says what cannot be read, and how to mend it.
    """
    times = column_times((raw.timestamp for raw in raws), time_policy(time_zone))
    numbers = []
    for sensor, plain in zip(SENSORS, PLAIN, strict=True):
        found = column_policy((getattr(raw, sensor) for raw in raws), plain)
        if found.n_ambiguous and sensor != "power":
            rejected[f"{sensor} that is not read: {found.problem}"] += found.n_ambiguous
        numbers.append(found.policy)
    values = read_sensors(raws, numbers)[:, :-1]
    bounds = tuple(learn_bounds(column) for column in values.T)
    return Writing(times.policy, tuple(numbers), bounds)


def stored(writing: Writing) -> StoredWriting:
    """As it is written into a version."""
    return StoredWriting(
        {
            sensor: policy.decimal
            for sensor, policy in zip(SENSORS, writing.numbers, strict=True)
            if policy.decimal
        },
        {
            sensor: [None if np.isinf(bound) else bound for bound in _ends(of_sensor)]
            for sensor, of_sensor in zip(SENSORS, writing.bounds, strict=False)
            if of_sensor != NO_BOUNDS
        },
        writing.times.day_first,
        writing.times.unit,
    )


def opened(kept: StoredWriting, time_zone: ZoneInfo) -> Writing:
    """The reverse of `stored`; a version of an earlier release learnt nothing."""
    times = replace(time_policy(time_zone), day_first=kept.day_first, unit=kept.time_unit)
    numbers = tuple(
        replace(plain, decimal=kept.decimals.get(sensor, ""))
        for sensor, plain in zip(SENSORS, PLAIN, strict=True)
    )
    bounds = tuple(_bounds(kept.bounds.get(sensor)) for sensor in SENSORS)
    return Writing(times, numbers, bounds)


def _ends(bounds: Bounds) -> tuple[float, float, float, float]:
    return bounds.low, bounds.high, bounds.code_low, bounds.code_high


def _bounds(ends: Sequence[float | None] | None) -> Bounds:
    if ends is None or len(ends) != 4:
        return NO_BOUNDS
    signs = (-np.inf, np.inf, -np.inf, np.inf)
    return Bounds(
        *(end if end is not None else sign for end, sign in zip(ends, signs, strict=True))
    )
