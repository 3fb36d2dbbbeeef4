"""Records in, training data out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from api_service.schemas.common import Fields, Whole
from api_service.schemas.operation import Answer, Body, Operation, Time
from api_service.schemas.requests import ModelQuery, RecordsQuery, StreamQuery


class Taken(msgspec.Struct, kw_only=True):
    """How many records were kept, on the disk; and why others were not."""

    model: str
    stream: str
    accepted: Whole
    new: Whole
    updated: Whole
    duplicates: Whole
    rejected: Whole
    reasons: list[Fields]
    received_at: Time


class Source(msgspec.Struct):
    model: str
    entity: str | None
    stream: str
    streams: list[str]
    since: Time
    exported_at: Time


class Records(msgspec.Struct, kw_only=True):
    records: list[Fields]
    total: Whole
    metadata: Source
    next: str | UnsetType = UNSET


class Collection(msgspec.Struct):
    collection: str
    n_records: Whole
    n_deleted: Whole
    n_entities: Whole
    oldest: Time | None
    newest: Time | None
    content_bytes: Whole


class FeedStatistics(msgspec.Struct):
    collections: list[Collection]
    total: Whole
    size_bytes: Whole
    retention_days: Whole


TAKEN = {200: Answer(Taken, "at least one record was kept, or was known already")}

OPERATIONS: Mapping[str, Operation] = {
    "POST /models/<model>/records": Operation(
        "Records to learn from, on the disk before the answer.\n"
        "One record, a list of them, or {stream, records, deleted}.",
        TAKEN,
        query=StreamQuery,
        body=Body(dict[str, Any] | list[Any]),
        errors=(409, 429, 503),
    ),
    "GET /models/<model>/records": Operation(
        "What was sent, to train elsewhere; in pages.",
        {200: Answer(Records, "a page of records, oldest first")},
        query=RecordsQuery,
        errors=(409, 503),
    ),
    "POST /feed/data": Operation(
        "Rows of servers (server_metrics), in any of several shapes.",
        TAKEN,
        query=ModelQuery,
        body=Body(dict[str, Any] | list[Any]),
        errors=(404, 409, 429, 503),
    ),
    "GET /feed/stats": Operation(
        "How much was sent.", {200: Answer(FeedStatistics, "by collection")}, errors=(503,)
    ),
}
