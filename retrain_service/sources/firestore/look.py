"""Look at a Firestore database: its top collections and a few documents of each. Read-only.

Costs one billed read for each document that it looks at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrain_service.sources.catalogue import Catalogue, Collection, columns_of
from retrain_service.sources.firestore.values import from_firestore
from retrain_service.sources.json_values import to_json
from shared.errors import SourceMisconfigured, SourceUnavailable
from shared.settings.sections import SourceSettings

_MOST_COLLECTIONS = 50
_N_DOCUMENTS = 20


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
        names = list(only) or [each.id for each in client.collections(timeout=settings.timeout_s)]
        return Catalogue(
            tuple(_collection(client, name, settings) for name in sorted(names)[:_MOST_COLLECTIONS])
        )
    except (GoogleAuthError, OSError) as error:
        raise SourceMisconfigured(f"Firestore: {error}") from error
    except exceptions.GoogleAPIError as error:
        raise SourceUnavailable(f"Firestore: {error}") from error


def _collection(client: Any, name: str, settings: SourceSettings) -> Collection:
    collection = client.collection(name)
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
