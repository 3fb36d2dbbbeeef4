"""Look at a Firestore database: its collections and a few documents of each. Read-only.

Collections of one name that lie below documents, such as the orders of each customer, are one
collection group. Costs one billed read for each document that it looks at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from retrain_service.sources.catalogue import Catalogue, Collection, columns_of
from retrain_service.sources.firestore.values import from_firestore
from retrain_service.sources.json_values import to_json
from shared.errors import SourceMisconfigured, SourceUnavailable
from shared.settings.sections import SourceSettings

_MOST_COLLECTIONS = 50
_N_DOCUMENTS = 20
_N_PARENTS = 3
_MOST_DEPTH = 2


def look(settings: SourceSettings, only: Sequence[str] = ()) -> Catalogue:
    """The collections at the top, or those named.

    Raises:
        SourceUnavailable, SourceMisconfigured: nothing can be read.
    """
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import firestore

    try:
        client = firestore.Client(
            project=settings.project or None, database=settings.database or None
        )
        if only:
            return Catalogue(tuple(_named(client, name, settings) for name in only))
        top = sorted(client.collections(timeout=settings.timeout_s), key=lambda each: each.id)
        found = [_collection(each, each.id, settings) for each in top[:_MOST_COLLECTIONS]]
        groups = _groups(top[:_MOST_COLLECTIONS], settings.timeout_s)
        remarks = []
        for name in sorted(groups):
            if any(each.id == name for each in top):
                remarks.append(
                    f"{name} is a collection of its own and lies below {groups[name]} as well:"
                    " collection_group = true reads all of them."
                )
                continue
            group = _collection(client.collection_group(name), name, settings)
            found.append(replace(group, settings={"collection_group": True}))
        return Catalogue(tuple(found), tuple(remarks))
    except (GoogleAuthError, OSError) as error:
        raise SourceMisconfigured(f"Firestore: {error}") from error
    except exceptions.GoogleAPIError as error:
        raise SourceUnavailable(f"Firestore: {error}") from error


def _groups(top: Sequence[Any], timeout_s: float) -> dict[str, str]:
    """Name of a collection below documents -> the collection whose documents they are."""
    found: dict[str, str] = {}
    looked_at = [(each, 1) for each in top]
    while looked_at:
        collection, depth = looked_at.pop()
        # Also documents that do not exist but have collections below them.
        parents = collection.list_documents(page_size=_N_PARENTS, timeout=timeout_s)
        for parent in islice(parents, _N_PARENTS):
            for below in parent.collections(timeout=timeout_s):
                is_known = below.id in found
                found.setdefault(below.id, collection.id)
                if depth < _MOST_DEPTH and not is_known:
                    looked_at.append((below, depth + 1))
    return found


def _named(client: Any, name: str, settings: SourceSettings) -> Collection:
    """The collection of that path; where it is empty, the group of that name."""
    found = _collection(client.collection(name), name, settings)
    if found.sample or "/" in name:
        return found
    return _collection(client.collection_group(name), name, settings)


def _collection(collection: Any, name: str, settings: SourceSettings) -> Collection:
    snapshots = list(collection.limit(_N_DOCUMENTS).stream(timeout=settings.timeout_s))
    declared: dict[str, str] = {}
    for snapshot in snapshots:
        for field, value in snapshot.to_dict().items():
            declared.setdefault(field, _type_name(value))
    records = [to_json(snapshot.to_dict(), from_firestore) for snapshot in snapshots]
    return Collection(name, columns_of(records, declared), ("id",), sample=tuple(records))


def _type_name(value: Any) -> str:
    names = {"DatetimeWithNanoseconds": "date", "str": "string", "int": "number", "float": "number"}
    return names.get(type(value).__name__, type(value).__name__.lower())
