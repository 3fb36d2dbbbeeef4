"""Look at an Elasticsearch cluster: its indices and a few documents of each. Read-only.

Indices that differ only by a date or a number at the end are one pattern, as they are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from elasticsearch import ApiError, Elasticsearch

from retrain_service.sources.catalogue import Catalogue, Collection, columns_of
from retrain_service.sources.elasticsearch.client import open_client
from retrain_service.sources.elasticsearch.errors import translate_errors
from retrain_service.sources.json_values import to_json
from shared.settings.sections import SourceSettings

_MOST_COLLECTIONS = 100
_N_DOCUMENTS = 30
_SERIES = re.compile(r"(?P<stem>.+?)[-_.](?:\d{4}(?:[-._]\d{1,2}){1,2}(?:[-_.]\d{6})?|\d{8}|\d{6})")
_TYPES: Mapping[str, str] = {
    **dict.fromkeys(("keyword", "text", "wildcard", "constant_keyword"), "string"),
    **dict.fromkeys(("long", "integer", "short", "byte", "unsigned_long"), "number"),
    **dict.fromkeys(("double", "float", "half_float", "scaled_float"), "number"),
    "boolean": "bool",
}
"""Their name of a type -> the common one; others, such as date, as they are."""


def look(settings: SourceSettings, only: Sequence[str] = ()) -> Catalogue:
    """All indices, aliases and data streams that are not the server's own, or those named.

    Raises:
        SourceUnavailable, SourceMisconfigured: nothing can be read.
    """
    sink, client = open_client(settings)
    remarks: list[str] = []
    try:
        with translate_errors(f"Elasticsearch {sink}", settings.timeout_s):
            names = list(only) or _names(client)
            found = [_collection(client, name, remarks) for name in names[:_MOST_COLLECTIONS]]
    finally:
        client.close()
    return Catalogue(tuple(each for each in found if each is not None), tuple(remarks))


def _names(client: Elasticsearch) -> list[str]:
    there = client.indices.resolve_index(name="*", expand_wildcards="open")
    shown = [
        *(each["name"] for each in there["data_streams"]),
        *(each["name"] for each in there["aliases"]),
        *(each["name"] for each in there["indices"] if not _is_behind_another(each)),
    ]
    return grouped(name for name in shown if not name.startswith("."))


def _is_behind_another(index: Mapping[str, Any]) -> bool:
    """An index that an alias or a data stream stands for is read by that name."""
    return bool(index.get("data_stream") or index.get("aliases"))


def grouped(names: Iterable[str]) -> list[str]:
    """One pattern for each series of indices.

    >>> grouped(["logs-2026.11.29", "logs-2026.11.30", "shop", "m-2026.11-000001", "m-000002"])
    ['logs-*', 'm-*', 'shop']
    """
    matched = {name: _SERIES.fullmatch(name) for name in names}
    return sorted(
        {
            f"{found['stem']}{name[found.end('stem')]}*" if found else name
            for name, found in matched.items()
        }
    )


def _collection(client: Elasticsearch, name: str, remarks: list[str]) -> Collection | None:
    try:
        fields = _fields(client, name)
        newest = next((field for field, kind in fields.items() if kind.startswith("date")), "")
        documents = _documents(client, name, {})
        if newest:
            documents += _documents(client, name, {"sort": [{newest: {"order": "desc"}}]})
        n_records = int(client.count(index=name)["count"])
    except ApiError as error:  # one index without rights is no reason to see none
        remarks.append(f"{name}: could not be looked at ({error.meta.status}).")
        return None
    records = [to_json(document) for document in documents]
    return Collection(
        name,
        columns_of(records, fields),
        ("id",),
        n_records=n_records,
        sample=tuple(records),
    )


def _fields(client: Elasticsearch, name: str) -> dict[str, str]:
    """The top fields of all indices behind the name, with their types."""
    found: dict[str, str] = {}
    for index in client.indices.get_mapping(index=name).values():
        for field, mapping in index.get("mappings", {}).get("properties", {}).items():
            kind = str(mapping.get("type", "object"))
            found.setdefault(field, _TYPES.get(kind, kind))
    return found


def _documents(client: Elasticsearch, name: str, order: dict[str, Any]) -> list[dict[str, Any]]:
    answer = client.search(index=name, size=_N_DOCUMENTS, track_total_hits=False, **order)
    hits = answer["hits"]["hits"]
    return [hit["_source"] for hit in hits if isinstance(hit.get("_source"), dict)]
