"""Read samples in the shapes that monitoring agents send: server, time, numbers.

Takes Prometheus-like, psutil-like and home-made shapes: flat or nested, numbers or "12.5 %",
times as RFC 3339, seconds or milliseconds. Pure; the answer for a row never depends on another.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

NO_SERVER = "no server name"
NO_METRIC = "none of the metrics"
BAD_TIME = "a time that cannot be read"

SERVER_FIELDS = (
    "server", "server_id", "server_name", "host", "hostname", "node", "instance", "machine",
)  # fmt: skip
TIME_FIELDS = ("timestamp", "time", "ts", "at", "@timestamp", "datetime", "collected_at")
NESTED_FIELDS = ("metrics", "values", "stats", "system", "data")

ALIASES: Mapping[str, tuple[str, ...]] = {
    "cpu": ("cpu_percent", "cpu_usage", "cpu_pct", "cpu_utilization", "cpu_total"),
    "memory": (
        "mem", "ram", "memory_percent", "memory_usage", "mem_percent", "mem_usage", "memory_pct",
    ),
    "disk": ("disk_percent", "disk_usage", "disk_pct", "disk_used_percent", "filesystem"),
    "load": ("load1", "load_1", "load_avg", "load_average", "loadavg", "load_1m"),
}  # fmt: skip
_INNER_NAMES = ("percent", "usage", "used_percent", "utilization", "pct", "value", "1m", "total")

_NOT_ALIKE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\s.\-/]+")
_NUMBER = re.compile(r"\s*([-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?)\s*%?\s*")
_EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
_LATEST_S = 253_370_764_800  # the year 9999


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at one server. `at` None: the row carries no time. `values`: metric -> number."""

    server: str
    at: datetime | None
    values: Mapping[str, float]


def read_sample(fields: Mapping[str, Any], metrics: Sequence[str]) -> Sample | str:
    """The sample in a row, or why there is none."""
    named = _by_plain_name(fields)
    server = next((text for name in SERVER_FIELDS if (text := _text(named.get(name)))), None)
    if server is None:
        return NO_SERVER
    raw_time = next((named[name] for name in TIME_FIELDS if named.get(name) is not None), None)
    at = None if raw_time is None else read_time(raw_time)
    if raw_time is not None and at is None:
        return BAD_TIME
    nested = [_by_plain_name(named[n]) for n in NESTED_FIELDS if isinstance(named.get(n), Mapping)]
    values: dict[str, float] = {}
    for metric in metrics:
        for place in (named, *nested):
            found = _metric(place, metric)
            if found is not None:
                values[metric] = found
                break
    return Sample(server, at, values) if values else f"{NO_METRIC} {', '.join(metrics)}"


def read_time(value: object) -> datetime | None:
    """An instant, UTC, from a text, seconds, milliseconds, microseconds or nanoseconds."""
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value.strip())
        except ValueError:
            number = _number(value)
            return None if number is None else read_time(number)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        return at if at >= _EARLIEST else None
    if isinstance(value, Mapping):  # a timestamp of a document database
        return read_time(value.get("seconds", value.get("_seconds")))
    seconds = _number(value)
    if seconds is None:
        return None
    while seconds > _LATEST_S / 20:  # after the year 2470: rather a smaller unit
        seconds /= 1000
    at = datetime.fromtimestamp(seconds, UTC) if seconds > 0 else _EARLIEST
    return at if at > _EARLIEST else None


def _metric(place: Mapping[str, Any], metric: str) -> float | None:
    for name in (metric, *ALIASES.get(metric, ())):
        value = place.get(name)
        if isinstance(value, Mapping):
            inner = _by_plain_name(value)
            value = next((inner[n] for n in _INNER_NAMES if inner.get(n) is not None), None)
        elif isinstance(value, list):  # load averages of 1, 5 and 15 minutes; one value a core
            numbers = [n for item in value if (n := _number(item)) is not None]
            value = numbers[0] if metric == "load" and numbers else _mean(numbers)
        number = _number(value)
        if number is not None:
            return number
    return None


def _by_plain_name(fields: Mapping[str, Any]) -> dict[str, Any]:
    """cpuPercent, CPU-Percent and cpu.percent are all cpu_percent."""
    return {_NOT_ALIKE.sub("_", str(name).strip()).lower(): fields[name] for name in fields}


def _number(value: object) -> float | None:
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value)
        value = float(match[1].replace(",", ".")) if match else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _mean(numbers: Sequence[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None


def _text(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() or None if isinstance(value, str) else None
