"""Read samples in the shapes that monitoring agents send: server, time, numbers.

Takes Prometheus-like, psutil-like and home-made shapes: flat or nested, one row for all metrics or
one for each. Pure; the answer for a row never depends on another. Where the fields of a row stand
is looked up once for each set of names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.documents.ids import means_nothing, read_id
from shared.documents.numbers import parse_number
from shared.documents.times import read_moment

NO_SERVER = "no server name"
NO_METRIC = "none of the metrics"
BAD_TIME = "a time that cannot be read"

SERVER_FIELDS = (
    "server", "server_id", "server_name", "host", "hostname", "node", "instance", "machine",
)  # fmt: skip
TIME_FIELDS = ("timestamp", "time", "ts", "at", "@timestamp", "datetime", "collected_at")
NESTED_FIELDS = ("metrics", "values", "stats", "system", "data", "fields")

ALIASES: Mapping[str, tuple[str, ...]] = {
    "cpu": (
        "cpu_percent", "cpu_usage", "cpu_pct", "cpu_utilization", "cpu_total", "cpu_util",
        "cpu_used_pct", "cpu_used_percent", "cpu_usage_pct", "cpu_usage_percent",
    ),
    "memory": (
        "mem", "ram", "memory_percent", "memory_usage", "mem_percent", "mem_usage", "memory_pct",
        "mem_used_percent", "memory_used_percent", "mem_pct", "mem_used_pct", "memory_used_pct",
        "mem_util", "memory_utilization", "mem_usage_pct", "memory_usage_pct",
        "memory_usage_percent",
    ),
    "disk": ("disk_percent", "disk_usage", "disk_pct", "disk_used_percent", "filesystem",
             "disk_usage_pct", "disk_used_pct", "fs_pct", "disk_usage_percent"),
    "load": ("load1", "load_1", "load_avg", "load_average", "loadavg", "load_1m"),
}  # fmt: skip
_INNER_NAMES = ("percent", "usage", "used_percent", "utilization", "pct", "value", "1m")
_SHARES = frozenset(("memory", "disk"))
"""Metrics of which agents also send bytes: the total, and what is used, free or available."""
_TOTALS = ("total", "total_bytes", "size")
_USED = ("used", "used_bytes", "in_use")
_LEFT = ("available", "available_bytes", "free", "free_bytes", "avail")
_USER = ("cpu_user_pct", "cpu_user_percent")
_SYSTEM = ("cpu_sys_pct", "cpu_system_pct", "cpu_sys_percent", "cpu_system_percent")
_IDLE = ("cpu_idle_pct", "cpu_idle_percent")
"""Parts of a processor's time. cpu_user and cpu_idle alone are not among them: under these names
agents send seconds since the start, too."""
_LEAST_WHOLE = 2.0
_METRIC_NAMES = ("metric", "metric_name", "__name__", "measurement", "name", "field")
_METRIC_VALUES = ("value", "val", "metric_value")

NAMES_OF_PARTS = frozenset(
    re.sub(r"[\W_]+", "", name) for names in (_USER, _SYSTEM, _IDLE) for name in names
)
KNOWN_NAMES = frozenset(
    re.sub(r"[\W_]+", "", name)
    for names in (NESTED_FIELDS, _METRIC_NAMES, _METRIC_VALUES)
    for name in names
)
"""Names beside those of the metrics themselves under which numbers may stand."""

_NOT_ALIKE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\s.\-/()\[\]]+")
_MOST_PLANS = 4096


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at one server. `at` None: the row carries no time. `values`: metric -> number.

    impossible : metrics that hold a number that is no percentage, such as bytes.
    """

    server: str
    at: datetime | None
    values: Mapping[str, float]
    impossible: tuple[str, ...] = ()


_Share = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""Names of the total, of what is used, and of what is left."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the values of rows with the same names stand; names as in the row, best first.

    inner : of an object that stands for one metric, where its number is; inner_shares the names of
    total, used and left there. metrics : for each metric its names; shares as inner_shares.
    busy : names of a processor's time for users, for the system and idle; without the first two
    none of the three.
    """

    server: tuple[str, ...]
    time: tuple[str, ...]
    nested: tuple[str, ...]
    inner: tuple[str, ...]
    inner_shares: _Share
    metrics: tuple[tuple[str, ...], ...]
    shares: tuple[_Share, ...]
    busy: _Share
    long_form: tuple[str, str] | None


class SampleReader:
    """Reads rows for some metrics. Any thread may call it.

    percentages : metrics that are percentages; of these a number below 0, or of memory and disk
        one far above 100, is none: mostly bytes.
    """

    def __init__(self, metrics: Sequence[str], percentages: frozenset[str] = frozenset()) -> None:
        self.metrics = tuple(metrics)
        self.percentages = percentages
        self._plans: dict[tuple[str, ...], Plan] = {}

    def read(self, fields: Mapping[str, Any]) -> Sample | str:
        """The sample in a row, or why there is none."""
        plan = self.plan(tuple(fields))
        server = next((id_ for name in plan.server if (id_ := server_of(fields[name]))), None)
        if server is None:
            return NO_SERVER
        raw_time = next((fields[name] for name in plan.time if fields[name] is not None), None)
        at = None if raw_time is None else read_moment(raw_time)
        if raw_time is not None and at is None:
            return BAD_TIME
        places = [(fields, plan)]
        for name in plan.nested:
            if isinstance(fields[name], Mapping):
                places.append((fields[name], self.plan(tuple(fields[name]))))
        values: dict[str, float] = {}
        impossible: list[str] = []
        for position, metric in enumerate(self.metrics):
            for place, its_plan in places:
                number = self._metric(place, its_plan, position)
                if number is not None:
                    if self.is_possible(metric, number):
                        values[metric] = number
                    else:
                        impossible.append(metric)
                    break
        if not values:
            if impossible:
                return f"{impossible[0]} is no percentage"
            return f"{NO_METRIC} {', '.join(self.metrics)}"
        return Sample(server, at, values, tuple(impossible))

    def is_possible(self, metric: str, number: float) -> bool:
        """Whether a metric can be this number."""
        if metric not in self.percentages:
            return True
        return 0 <= number <= highest_percentage(metric)

    def plan(self, names: tuple[str, ...]) -> Plan:
        """Where the values of rows with these names stand."""
        plan = self._plans.get(names)
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._plans[names] = plan = self._make_plan(names)
        return plan

    def _make_plan(self, names: tuple[str, ...]) -> Plan:
        named = {_plain(str(name)): name for name in names} | {str(name): name for name in names}

        def there(candidates: Sequence[str]) -> tuple[str, ...]:
            return tuple(named[name] for name in candidates if name in named)

        shares = []
        for metric in self.metrics:
            prefixes = [f"{name}_" for name in (metric, *ALIASES.get(metric, ())[:2])]
            of_metric = tuple(
                there([prefix + name for prefix in prefixes for name in group])
                if metric in _SHARES
                else ()
                for group in (_TOTALS, _USED, _LEFT)
            )
            shares.append((of_metric[0], of_metric[1], of_metric[2]))
        busy = (there(_USER), there(_SYSTEM), there(_IDLE))
        metric_name, metric_value = there(_METRIC_NAMES), there(_METRIC_VALUES)
        return Plan(
            there(SERVER_FIELDS),
            there(TIME_FIELDS),
            there(NESTED_FIELDS),
            there((*_INNER_NAMES, "total")),
            (there(_TOTALS), there(_USED), there(_LEFT)),
            tuple(there((metric, *ALIASES.get(metric, ()))) for metric in self.metrics),
            tuple(shares),
            busy if busy[0] and busy[1] else ((), (), ()),
            (metric_name[0], metric_value[0]) if metric_name and metric_value else None,
        )

    def _metric(self, place: Mapping[str, Any], plan: Plan, position: int) -> float | None:
        metric = self.metrics[position]
        for name in plan.metrics[position]:
            number = self._number(place[name], metric)
            if number is not None:
                return number
        totals, used, left = plan.shares[position]
        if totals and (used or left):
            return _share(place, plan.shares[position])
        if metric == "cpu" and plan.busy[0]:
            return _busy(place, plan.busy)
        if plan.long_form is not None:
            name, value = plan.long_form
            written = place[name]
            if isinstance(written, str) and _plain(written) in (metric, *ALIASES.get(metric, ())):
                return self._number(place[value], metric)
        return None

    def _number(self, value: object, metric: str) -> float | None:
        if isinstance(value, Mapping):
            plan = self.plan(tuple(value))
            inner = plan.inner
            if metric in _SHARES:
                totals, used, left = plan.inner_shares
                if totals and (used or left):
                    return _share(value, plan.inner_shares)
                inner = tuple(name for name in inner if name not in totals)
            value = next((value[name] for name in inner if value[name] is not None), None)
        elif isinstance(value, list):  # load averages of 1, 5 and 15 minutes; one value a core
            numbers = [n for item in value if (n := _plain_number(item)) is not None]
            if not numbers:
                return None
            return numbers[0] if metric == "load" else sum(numbers) / len(numbers)
        return _plain_number(value)


def server_of(value: object) -> str | None:
    """A server's name; a number is one too."""
    found = read_id(value)
    return None if found is None or means_nothing(found) else found


def highest_percentage(metric: str) -> float:
    """What a percentage cannot exceed: agents add up the percentages of all cores."""
    return 110.0 if metric in _SHARES else 100_000.0


def _share(place: Mapping[str, Any], names: _Share) -> float | None:
    """Percent used. What is left tells it as well; available memory says more than free."""
    total, used, left = (_first_number(place, of_one) for of_one in names)
    if total is None or total <= 0 or (used is None and left is None):
        return None
    return 100.0 * (used if used is not None else total - (left or 0.0)) / total


def _busy(place: Mapping[str, Any], names: _Share) -> float | None:
    """What is not idle, else user and system time together, in the unit in which they are sent.

    Where user and idle time make less than a few percent together, they are fractions of 1.
    """
    user, system, idle = (_first_number(place, of_one) for of_one in names)
    if user is None or system is None:
        return None
    if idle is not None and user + idle > _LEAST_WHOLE:
        return 100.0 - idle
    return user + system


def _first_number(place: Mapping[str, Any], names: Sequence[str]) -> float | None:
    found = (_plain_number(place[name]) for name in names)
    return next((number for number in found if number is not None), None)


def _plain_number(value: object) -> float | None:
    number = parse_number(value)
    return number if isinstance(number, float) else None


def _plain(name: str) -> str:
    """cpuPercent, CPU-Percent and cpu.percent are all cpu_percent; CPU (%) is cpu_pct."""
    return _NOT_ALIKE.sub("_", name.replace("%", " pct ").strip()).lower().rstrip("_")
