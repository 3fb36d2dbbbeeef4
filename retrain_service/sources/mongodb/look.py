"""Look at a MongoDB database: its collections and a few documents of each. Read-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pymongo

from retrain_service.sources.catalogue import Catalogue, Collection, columns_of
from retrain_service.sources.json_values import to_json
from retrain_service.sources.mongodb.bson_values import from_bson
from retrain_service.sources.mongodb.errors import translate_errors
from retrain_service.sources.mongodb.source import parse_url
from shared.settings.sections import SourceSettings

_MOST_COLLECTIONS = 200
_N_DOCUMENTS = 30
_TYPES: Mapping[type, str] = {
    bool: "bool", int: "number", float: "number", str: "string", datetime: "date",
    list: "array", dict: "object",
}  # fmt: skip


def look(settings: SourceSettings, only: Sequence[str] = ()) -> Catalogue:
    """All collections and views, or those named.

    Raises:
        SourceUnavailable, SourceMisconfigured: nothing can be read.
    """
    parse_url(settings.url)
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
        settings.url,
        connect=False,
        appname="hotfit",
        serverSelectionTimeoutMS=round(min(settings.timeout_s, 10) * 1000),
        socketTimeoutMS=round(settings.timeout_s * 1000),
        tz_aware=True,
        datetime_conversion="DATETIME_AUTO",
        uuidRepresentation="standard",
        unicode_decode_error_handler="replace",
    )
    try:
        with translate_errors("MongoDB", settings.timeout_s):
            database = client.get_default_database()
            names = sorted(database.list_collection_names())
            chosen = [name for name in names if not name.startswith("system.")]
            chosen = [name for name in chosen if not only or name in only]
            return Catalogue(
                tuple(_collection(database[name]) for name in chosen[:_MOST_COLLECTIONS])
            )
    finally:
        client.close()


def _collection(collection: Any) -> Collection:
    documents = list(collection.find().limit(_N_DOCUMENTS))
    documents += list(collection.find().sort([("_id", -1)]).limit(_N_DOCUMENTS))
    declared: dict[str, str] = {}
    for document in documents:
        for name, value in document.items():
            kind = next((text for type_, text in _TYPES.items() if isinstance(value, type_)), "")
            declared.setdefault(name, kind or type(value).__name__)
    records = [to_json({**each, "_id": str(each["_id"])}, from_bson) for each in documents]
    return Collection(
        collection.name,
        columns_of(records, declared),
        ("_id",),
        n_records=collection.estimated_document_count(),
        sample=tuple(records),
    )
