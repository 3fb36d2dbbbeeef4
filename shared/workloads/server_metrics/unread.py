"""Name the columns of samples that look like metrics and are not read. Changes no reading."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from shared.documents.field_specs import FieldSpec
from shared.documents.numbers import Unread, parse_number

_LOOKS_LIKE_ONE = re.compile(
    r"cpu|mem|ram\b|swap|disk|fs|io|net|load|temp|pct|percent|usage|used|util|bytes|latency|queue"
    r"|conn|thread|proc|rate|errors|requests|gpu|heap|rx|tx|power|watt",
    re.IGNORECASE,
)
_NO_METRIC = re.compile(r"(^|_)(id|uuid|at|time|timestamp|date|port|version|name)$", re.IGNORECASE)
_MOST_NAMED = 12
_NUMBERS_FROM = 0.5


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


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
