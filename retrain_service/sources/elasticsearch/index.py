"""Describe an index, alias or pattern: how `updated_at` is mapped, and how long a document may stay
invisible to a search. Reads no documents.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from elasticsearch import Elasticsearch

from shared.errors import SourceMisconfigured

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "nanos": 1e-9}
_SERVER_DEFAULT_S = 1.0


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """Every index that the name stands for, taken together.

    is_mapped : whether any of them has the field at all.
    is_nanos : whether any of them keeps nanoseconds; then all are compared so.
    refresh_s : a document is found by a search only this long after it was written.
    """

    is_mapped: bool
    is_nanos: bool
    refresh_s: float


def describe(client: Elasticsearch, name: str, field: str) -> IndexInfo:
    """Learn it from the field capabilities and the settings.

    Raises:
        SourceMisconfigured: the field is not a date, or documents become visible at no known time.
        elasticsearch.ApiError: no such index, no rights.
    """
    answer = client.field_caps(
        index=name, fields=field, include_unmapped=True, allow_no_indices=False
    )
    kinds = set(answer["fields"].get(field, {})) - {"unmapped"}
    if not kinds <= {"date", "date_nanos"}:
        raise SourceMisconfigured(
            f"{name}: updated_at_field {field!r} is mapped as {_listed(kinds)}; expected date or"
            " date_nanos, which take a new index and a reindex."
        )
    return IndexInfo(bool(kinds), "date_nanos" in kinds, _refresh_s(client, name))


def _refresh_s(client: Elasticsearch, name: str) -> float:
    """The longest refresh interval of the indices behind the name."""
    setting = "index.refresh_interval"
    answer = client.indices.get_settings(
        index=name, name=setting, include_defaults=True, flat_settings=True
    )
    longest = _SERVER_DEFAULT_S
    for index, found in answer.items():
        value = _get(found, "settings", setting) or _get(found, "defaults", setting)
        if value is None:
            continue
        seconds = _seconds(str(value))
        if seconds < 0:
            raise SourceMisconfigured(
                f"{name}: index {index!r} has refresh_interval -1, so that its documents become"
                " visible at no known time and could be missed; give it one, such as 30s."
            )
        longest = max(longest, seconds)
    return longest


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(-?[\d.]+)\s*([a-z]*)", text.strip())
    if found is None:
        return _SERVER_DEFAULT_S
    return float(found[1]) * _UNITS_S.get(found[2], 0.001)


def _get(found: Mapping[str, Any], part: str, setting: str) -> Any:
    return found.get(part, {}).get(setting)


def _listed(kinds: set[str]) -> str:
    return " and ".join(sorted(kinds))


def whole_seconds(lag_s: float) -> str:
    """A time that is over by the lag, in the server's own date arithmetic."""
    return f"now-{math.ceil(lag_s)}s"
