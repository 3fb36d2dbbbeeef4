"""Say what of samples is not read, or read in a doubtful unit. Changes no reading."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.documents.field_specs import FieldSpec
from shared.documents.numbers import Unread, parse_number
from shared.workloads.server_metrics.records import Sample

_LOOKS_LIKE_ONE = re.compile(
    r"cpu|mem|ram\b|swap|disk|fs|io|net|load|temp|pct|percent|usage|used|util|bytes|latency|queue"
    r"|conn|thread|proc|rate|errors|requests|gpu|heap|rx|tx|power|watt",
    re.IGNORECASE,
)
_NO_METRIC = re.compile(r"(^|_)(id|uuid|at|time|timestamp|date|port|version|name)$", re.IGNORECASE)
_MOST_NAMED = 12
_NUMBERS_FROM = 0.5
_FEWEST_SAMPLES = 20


def unread_metrics(
    specs: Sequence[FieldSpec], records: Sequence[Mapping[str, Any]], known: frozenset[str]
) -> str | None:
    """A sentence with the columns that hold numbers and bear the name of a metric; None: none.

    specs : what is read. known : further names that are read, in plain form.
    """
    read = {_plain(name) for spec in specs for name in spec.names} | known
    numbers: Counter[str] = Counter()
    for record in records:
        for name, value in record.items():
            if isinstance(value, bool) or isinstance(parse_number(value), Unread):
                continue
            numbers[name] += 1
    found = [
        name
        for name, n in numbers.items()
        if n >= _NUMBERS_FROM * len(records)
        and _plain(name) not in read
        and _LOOKS_LIKE_ONE.search(name)
        and not _NO_METRIC.search(name)
    ]
    if not found:
        return None
    listed = ", ".join(found[:_MOST_NAMED])
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return (
        f"columns that look like metrics and are not read: {listed}{more}; name them in the"
        " parameter metrics, or map one of them in fields"
    )


def doubtful_fractions(samples: Iterable[Sample], percentages: frozenset[str]) -> list[str]:
    """A sentence for each percentage that is never above 1 on some server: perhaps a fraction."""
    highest: dict[tuple[str, str], float] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for sample in samples:
        for metric in percentages & sample.values.keys():
            place = (metric, sample.server)
            highest[place] = max(highest.get(place, 0.0), sample.values[metric])
            counts[place] += 1
    found: dict[str, list[str]] = {}
    for (metric, server), most in highest.items():
        if 0 < most <= 1 and counts[metric, server] >= _FEWEST_SAMPLES:
            found.setdefault(metric, []).append(server)
    return [
        f"{metric} of {servers[0]}{f' and {len(servers) - 1} more' if len(servers) > 1 else ''} is"
        " never above 1 and is read as a percentage; where it is a fraction of 1, say so in fields:"
        f' {metric} = {{ path = "…", unit = "fraction" }}'
        for metric, servers in sorted(found.items())
    ]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
